import type { Diagnosis } from './diagnose.ts'
import type { Finding, Severity } from './finding.ts'

const HEADS: Readonly<Record<Severity, string>> = {
  problem: 'Problems',
  warning: 'Will hurt',
  unknown: 'Not known',
  note: 'Worth knowing',
  ok: 'As it should be',
}

/** A diagnosis as text, the worst first. */
export function formatDiagnosis({ findings }: Diagnosis): string {
  return (Object.keys(HEADS) as Severity[])
    .flatMap((severity) => {
      const of = findings.filter((finding) => finding.severity === severity)
      return of.length === 0 ? [] : [[HEADS[severity], ...of.map(entry)].join('\n')]
    })
    .join('\n\n')
}

function entry({ code, severity, about, found, expected, toDo }: Finding): string {
  if (severity === 'ok')
    return `- ${about}: ${found}${expected === undefined || expected === found ? '' : ` (${expected})`} [${code}]`
  const lines = [`- ${about}: ${found} [${code}]`]
  if (expected !== undefined) lines.push(`  expected: ${expected}`)
  if (toDo !== undefined)
    lines.push(...toDo.split('\n').map((line, n) => `  ${n === 0 ? 'to do: ' : ''}${line}`))
  return lines.join('\n')
}
