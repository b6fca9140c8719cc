/** What this program calls an option of the library: one of its own, or a word of `tidemark.config`. */
const OPTIONS: Readonly<Record<string, string>> = {
  table: '--table',
  position: '--position',
  sequence: '--sequence',
  eventType: '--event-type',
  rewritten: '--rewritten',
  where: 'events.where in tidemark.config',
  appendedAt: 'events.appendedAt in tidemark.config',
}

/** What this program calls whatever else the library names in its texts. */
const NAMES: Readonly<Record<string, string>> = {
  auditCommits: 'tidemark audit-commits',
  createWatch: 'tidemark watch',
  moveTo: 'tidemark projections move',
  postgresCheckpointsSql: 'tidemark migrations print',
  timeoutMs: '--timeout',
}

const OPTION = new RegExp(`\\boption (${Object.keys(OPTIONS).join('|')})\\b`, 'g')
const NAME = new RegExp(`\\b(${Object.keys(NAMES).join('|')})\\b(\\(.*?\\))?`, 'g')

/** A text of the library, with this program's words beside those of the library; pure. */
export function withOwnWords(text: string): string {
  const beside = (words: Readonly<Record<string, string>>) => (found: string, name: string) =>
    `${found} (here: ${words[name]})`
  return text.replaceAll(OPTION, beside(OPTIONS)).replaceAll(NAME, beside(NAMES))
}
