import { assignment, look, SUSPECT_AGAIN_MS } from './cluster-view.ts'
import type {
  Asked,
  ClusterView,
  LeaseCommand,
  LeaseContext,
  LeaseInput,
  LeaseStanding,
  LeaseStep,
  UnitLease,
} from './lease-standing.ts'

/** Renewals may be missed twice. */
const RENEWALS = 3

/** What follows for one node from one input. Pure. */
export function next(before: LeaseStanding, input: LeaseInput, context: LeaseContext): LeaseStep {
  const answered = isAnswer(input) ? { ...before, asked: undefined } : before
  const { standing: heard, commands } = hear(answered, before.asked, input, context)
  const trusting = distrust(heard, context)
  const going = goOn(trusting.standing, context)
  return {
    standing: going.standing,
    commands: [...commands, ...trusting.commands, ...going.commands, ...timer(going.standing, context)],
  }
}

const isAnswer = ({ kind }: LeaseInput): boolean =>
  kind === 'renewed' || kind === 'claimed' || kind === 'released' || kind === 'left' || kind === 'failed'

function hear(
  standing: LeaseStanding,
  asked: Asked | undefined,
  input: LeaseInput,
  context: LeaseContext,
): LeaseStep {
  const { nowMs, leaseMs } = context
  switch (input.kind) {
    case 'due':
      return { standing, commands: [] }
    case 'released':
      return { standing: { ...standing, toRelease: except(standing.toRelease, asked?.leases) }, commands: [] }
    case 'hint':
      return { standing: { ...standing, renewDueMs: nowMs }, commands: [] }
    case 'renewed':
      return asked === undefined
        ? { standing, commands: [] }
        : renewed(standing, asked.atMs, input.cluster, context)
    case 'claimed':
      return granted(standing, input.leases, context)
    case 'failed':
      return {
        standing: { ...standing, renewDueMs: nowMs, quietUntilMs: nowMs + leaseMs / (4 * RENEWALS) },
        commands: [],
      }
    case 'finished': {
      const { unit, fence } = input
      if (standing.works.get(unit)?.fence !== fence) return { standing, commands: [] }
      const toRelease = new Map(standing.toRelease).set(unit, fence)
      return { standing: { ...standing, works: without(standing.works, unit), toRelease }, commands: [] }
    }
    case 'stop': {
      if (standing.life !== 'in') return { standing, commands: [] }
      // Others give it nothing from the renewal on that says so: neither what it gives back while a batch of another unit goes on.
      return finishing({ ...standing, life: 'leaving', renewDueMs: nowMs }, [...standing.works.keys()])
    }
    case 'left':
      return { standing: { ...standing, life: 'gone' }, commands: [{ kind: 'end' }] }
  }
}

/** Trust counts from when it was asked for: an answer that took long says nothing of what came after. */
function renewed(
  standing: LeaseStanding,
  askedAtMs: number,
  cluster: ClusterView,
  context: LeaseContext,
): LeaseStep {
  const { nowMs, leaseMs, node } = context
  const trusted = {
    ...standing,
    trustedUntilMs: Math.max(standing.trustedUntilMs, askedAtMs + leaseMs),
    // Sooner where something was hinted at meanwhile: the look may have been before.
    renewDueMs: Math.min(standing.renewDueMs, askedAtMs + leaseMs / RENEWALS),
  }
  if (nowMs >= trusted.trustedUntilMs) return { standing: { ...trusted, renewDueMs: nowMs }, commands: [] }
  const { gone, suspects } = look(standing.suspects, cluster, askedAtMs, nowMs)
  const isAlive = (id: string | undefined): boolean =>
    id === node ||
    (id !== undefined && !gone.has(id) && cluster.nodes.some((each) => each.id === id && each.isAlive))
  const wanted = assignment(cluster, isAlive, context, standing.life === 'leaving')
  const seen = {
    ...trusted,
    suspects,
    // Somebody may be gone: that is known after one more look.
    renewDueMs:
      suspects.size > gone.size ? Math.min(trusted.renewDueMs, nowMs + SUSPECT_AGAIN_MS) : trusted.renewDueMs,
  }
  const own = reconciled(seen, cluster, node, wanted)
  const unwanted = [...own.standing.works.keys()].filter((unit) => wanted.get(unit) !== node)
  const finished = finishing(own.standing, unwanted)
  const claims = cluster.leases.filter(
    ({ unit, owner }) =>
      wanted.get(unit) === node && owner !== node && !isAlive(owner) && !finished.standing.works.has(unit),
  )
  const claiming: LeaseCommand[] =
    claims.length === 0 || standing.life !== 'in'
      ? []
      : [
          {
            kind: 'claim',
            claims: claims.map(({ unit, owner = '', fence }) => ({
              unit,
              fence,
              gone: suspects.get(owner)?.which,
            })),
          },
        ]
  return {
    standing: {
      ...finished.standing,
      asked: claiming.length === 0 ? undefined : { kind: 'claim', atMs: nowMs },
    },
    commands: [...own.commands, ...finished.commands, ...claiming],
  }
}

/** What the rows say counts, not what this node remembers. */
function reconciled(
  standing: LeaseStanding,
  { leases }: ClusterView,
  node: string,
  wanted: ReadonlyMap<string, string>,
): LeaseStep {
  const works = new Map(standing.works)
  const toRelease = new Map<string, bigint>()
  const commands: LeaseCommand[] = []
  const own = new Map(leases.filter(({ owner }) => owner === node).map(({ unit, fence }) => [unit, fence]))
  for (const [unit, { fence }] of standing.works) {
    if (own.get(unit) === fence) continue
    works.delete(unit)
    commands.push({ kind: 'revoke', unit, fence })
  }
  for (const [unit, fence] of own) {
    if (works.has(unit)) continue
    // A claim whose answer was lost, or a lease that this node has slept through and nobody has taken.
    if (wanted.get(unit) === node && standing.toRelease.get(unit) !== fence) {
      works.set(unit, { fence, isFinishing: false })
      commands.push({ kind: 'grant', unit, fence })
    } else toRelease.set(unit, fence)
  }
  return { standing: { ...standing, works, toRelease }, commands }
}

function granted(standing: LeaseStanding, leases: readonly UnitLease[], { nowMs }: LeaseContext): LeaseStep {
  // The next look tells what this node has.
  if (nowMs >= standing.trustedUntilMs) return { standing, commands: [] }
  const toRelease = new Map(standing.toRelease)
  const works = new Map(standing.works)
  for (const { unit, fence } of leases) {
    if (standing.life === 'in') works.set(unit, { fence, isFinishing: false })
    else toRelease.set(unit, fence)
  }
  const commands: LeaseCommand[] =
    standing.life === 'in' ? leases.map((lease) => ({ kind: 'grant', ...lease })) : []
  return { standing: { ...standing, works, toRelease }, commands }
}

function finishing(standing: LeaseStanding, units: readonly string[]): LeaseStep {
  const works = new Map(standing.works)
  const commands: LeaseCommand[] = []
  for (const unit of units) {
    const work = works.get(unit)
    if (work === undefined || work.isFinishing) continue
    works.set(unit, { ...work, isFinishing: true })
    commands.push({ kind: 'finish', unit, fence: work.fence })
  }
  return { standing: { ...standing, works }, commands }
}

/** Without a renewal in time others may have been given what this node has. */
function distrust(standing: LeaseStanding, { nowMs }: LeaseContext): LeaseStep {
  if (nowMs < standing.trustedUntilMs || standing.works.size === 0) return { standing, commands: [] }
  return {
    standing: { ...standing, works: new Map(), renewDueMs: nowMs },
    commands: [...standing.works].map(([unit, { fence }]) => ({ kind: 'revoke', unit, fence })),
  }
}

/** One exchange with the store at a time. */
function goOn(standing: LeaseStanding, { nowMs }: LeaseContext): LeaseStep {
  if (standing.asked !== undefined || standing.life === 'gone' || nowMs < standing.quietUntilMs)
    return { standing, commands: [] }
  const asking = (command: LeaseCommand & { readonly kind: 'renew' | 'release' | 'leave' }): LeaseStep => ({
    standing: {
      ...standing,
      asked: {
        kind: command.kind,
        atMs: nowMs,
        ...(command.kind === 'release' ? { leases: standing.toRelease } : {}),
      },
    },
    commands: [command],
  })
  if (standing.toRelease.size > 0) {
    const leases = [...standing.toRelease].map(([unit, fence]) => ({ unit, fence }))
    return asking({ kind: 'release', leases })
  }
  if (standing.life === 'leaving' && standing.works.size === 0) return asking({ kind: 'leave' })
  if (nowMs < standing.renewDueMs) return { standing, commands: [] }
  const { standing: renewing, commands } = asking({ kind: 'renew', isLeaving: standing.life === 'leaving' })
  return { standing: { ...renewing, renewDueMs: Number.POSITIVE_INFINITY }, commands }
}

function timer(
  { life, asked, works, renewDueMs, quietUntilMs, trustedUntilMs }: LeaseStanding,
  { nowMs }: LeaseContext,
): LeaseCommand[] {
  if (life === 'gone') return []
  const dueMs = Math.min(
    asked === undefined ? Math.max(renewDueMs, quietUntilMs) : Number.POSITIVE_INFINITY,
    works.size === 0 ? Number.POSITIVE_INFINITY : trustedUntilMs,
  )
  return dueMs === Number.POSITIVE_INFINITY ? [] : [{ kind: 'wait', ms: Math.max(0, dueMs - nowMs) }]
}

function except(
  toRelease: ReadonlyMap<string, bigint>,
  released: ReadonlyMap<string, bigint> = new Map(),
): ReadonlyMap<string, bigint> {
  return new Map([...toRelease].filter(([unit, fence]) => released.get(unit) !== fence))
}

function without<V>(map: ReadonlyMap<string, V>, key: string): ReadonlyMap<string, V> {
  const left = new Map(map)
  left.delete(key)
  return left
}
