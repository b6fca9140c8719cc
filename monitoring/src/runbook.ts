/**
 * The address at which people can open docs/runbook.md. Without one there are no links: what is generated then names the
 * file, as users have it installed, and the section.
 */
export type RunbookAddress = string | undefined

const INSTALLED = 'monitoring/runbook.md in @tidemark/core'

/** @throws where it is no address that a browser opens, or has a section already */
export function checkRunbookAddress(address: string): void {
  const { protocol, hash } = URL.canParse(address) ? new URL(address) : { protocol: 'none', hash: '' }
  if (/^https?:$/.test(protocol) && hash === '') return
  throw new Error(
    `--runbook is ${JSON.stringify(address)}; it has to be the http or https address of docs/runbook.md, without "#"`,
  )
}

/** The annotation that says where the section is. */
export function runbookAnnotation(
  address: RunbookAddress,
  section: string,
): Readonly<Record<string, string>> {
  return address === undefined
    ? { runbook: `${INSTALLED}, section "${section}"` }
    : { runbook_url: linkTo(address, section) }
}

export function runbookMarkdown(address: RunbookAddress, section: string): string {
  return address === undefined
    ? `${INSTALLED}, section "${section}"`
    : `[runbook, section "${section}"](${linkTo(address, section)})`
}

function linkTo(address: string, section: string): string {
  return `${address}#${section.toLowerCase().replaceAll(' ', '-')}`
}
