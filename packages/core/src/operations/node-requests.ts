import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireName } from '../kernel/validation.ts'
import type { NodeAuditFilter } from '../ports/node-control.ts'
import { requireAsker, requireLimit } from './requests.ts'

/** Which node is meant, by whom and why. */
export interface NodeRequest {
  /** Its name: then every run of that name is meant, also one that starts later. Or the id of one run. */
  readonly node: string
  /** Who asks: a name that the people who read the audit know. At most 255 characters. */
  readonly who: string
  /** Why: it is shown to whoever looks at the node, and kept in the audit. At most 2,000 characters. */
  readonly why: string
}

export interface NodeAuditRequest {
  /**
   * The name of the node whose entries are wanted.
   * - Change it when: one node is looked at.
   * @default every node
   */
  readonly node?: string
  /**
   * Entries with a smaller id, as the last one of a page has.
   * - Change it when: the next page is wanted.
   * @default the newest
   */
  readonly before?: bigint
  /**
   * How many entries at most, up to 1,000.
   * - Raising it: fewer calls for a long history; each answer is larger.
   * - Lowering it: smaller answers.
   * - Change it when: a page of yours shows more or fewer.
   * @unit entries
   * @default 100
   */
  readonly limit?: number
}

const NODE_REQUEST: Readonly<Record<keyof NodeRequest, true>> = { node: true, who: true, why: true }
const NODE_AUDIT_REQUEST: Readonly<Record<keyof NodeAuditRequest, true>> = {
  node: true,
  before: true,
  limit: true,
}

export function resolveNodeRequest(request: NodeRequest): NodeRequest {
  requireKnownOptions(request, NODE_REQUEST)
  requireName('node', request.node)
  requireAsker(request)
  return request
}

export function resolveNodeAudit(request: NodeAuditRequest): Omit<NodeAuditFilter, 'source'> {
  requireKnownOptions(request, NODE_AUDIT_REQUEST)
  const { node, before, limit } = request
  if (node !== undefined) requireName('node', node)
  if (before !== undefined && typeof before !== 'bigint') {
    throw new InvalidOptionError('before', 'the id of an entry, a bigint', before)
  }
  return { node, before, limit: requireLimit(limit) }
}
