import type { Diagnosis } from './diagnose.ts'
import type { Finding, Severity } from './finding.ts'

const HEADS: Readonly<Record<Severity, string>> = {
  problem: 'Problems',
  warning: 'Will hurt',
  unknown: 'Not known',
  note: 'Worth knowing',
  ok: 'As it should be',
}

/** A diagnosis as text: what it comes to, and then the findings, the worst first. */
export function formatDiagnosis({ findings }: Diagnosis): string {
  const sections = (Object.keys(HEADS) as Severity[]).flatMap((severity) => {
    const of = findings.filter((finding) => finding.severity === severity)
    return of.length === 0 ? [] : [[HEADS[severity], ...together(of).map(entry)].join('\n')]
  })
  return [verdict(findings), ...sections].join('\n\n')
}

function verdict(findings: readonly Finding[]): string {
  if (findings.some(({ code }) => code === 'connection')) return NO_SERVER
  const count = (severity: Severity): number => findings.filter((of) => of.severity === severity).length
  return `${worst(count('problem'), count('unknown'))}\n${NOT_TOLD}`
}

function worst(problems: number, unknown: number): string {
  if (problems > 0) {
    const [what, it] = problems === 1 ? ['1 problem', 'it'] : [`${problems} problems`, 'them']
    return `${what}: mend ${it} before Tidemark runs projections here. Your own programs run on as before.`
  }
  return unknown > 0
    ? 'No problem was found, but not everything could be looked at.'
    : 'No problem was found.'
}

const NO_SERVER =
  'Nothing could be looked at. See whether the server runs, and which connection string and role the pool has.'
const NOT_TOLD = 'Whether a consumer has lost events is not told here: auditCommits and createWatch tell.'

/** Those of one table that are found to be the same are one entry, with the codes of all. */
function together(findings: readonly Finding[]): readonly Told[] {
  const told = new Map<string, Told>()
  for (const { code, ...finding } of findings) {
    const key = finding.severity === 'unknown' ? `${finding.about} ${finding.found}` : `${code} ${told.size}`
    const codes = [...(told.get(key)?.codes ?? []), code]
    told.set(key, { ...finding, ...(codes.length > 1 ? { expected: undefined } : {}), codes })
  }
  return [...told.values()]
}

interface Told extends Pick<Finding, 'severity' | 'about' | 'found' | 'toDo'> {
  readonly expected?: string | undefined
  readonly codes: readonly Finding['code'][]
}

function entry({ codes, severity, about, found, expected, toDo }: Told): string {
  const isExpected = expected === undefined || expected === found
  if (severity === 'ok')
    return `- ${about}: ${found}${isExpected ? '' : ` (${expected})`} [${codes.join(', ')}]`
  const lines = [`- ${about}: ${found} [${codes.join(', ')}]`]
  if (!isExpected) lines.push(`  expected: ${expected}`)
  if (toDo !== undefined)
    lines.push(...toDo.split('\n').map((line, n) => `  ${n === 0 ? 'to do: ' : ''}${line}`))
  return lines.join('\n')
}
