import { CHANGE_WHEN, LOWERING, type Option, type OptionsOfFunction, RAISING } from './option.ts'

const HEAD = `# Options

Every option of every public function. Each is described once; where several functions have it, the table links to it.

This page is made by \`pnpm docs:options\` from the docstrings in the sources: change it there.
`

export function optionsPage(functions: readonly OptionsOfFunction[]): string {
  const described = new Map<string, string>()
  const parts = [HEAD]
  let last = ''
  for (const { from, name, options } of functions) {
    if (from !== last) parts.push(`## ${from}\n`)
    last = from
    const fresh = options.filter(({ declaredAt }) => !described.has(declaredAt))
    for (const option of fresh) described.set(option.declaredAt, anchorOf(headingOf(name, option)))
    parts.push(
      `### ${name}\n`,
      '| option | takes | default |\n| --- | --- | --- |',
      `${options.map((option) => row(option, described.get(option.declaredAt) ?? '')).join('\n')}\n`,
      ...fresh.map((option) => entry(name, option)),
    )
  }
  return `${parts.join('\n').trimEnd()}\n`
}

function headingOf(functionName: string, { name }: Option): string {
  return `${functionName}: ${name}`
}

/** As GitHub makes it of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^a-z0-9 -]/g, '')
    .replaceAll(' ', '-')
}

function row(option: Option, anchor: string): string {
  const fallback = option.isRequired ? '(required)' : inCode(option.default ?? '')
  return `| [\`${option.name}\`](#${anchor}) | ${takes(option)} | ${fallback.replaceAll('|', '\\|')} |`
}

function takes({ kind, unit }: Option): string {
  return kind === 'number' ? (unit ?? kind) : kind
}

/** A value is code; what says which value is not. */
function inCode(text: string): string {
  return /^(-?\d[\d.]*|true|false|'[^']*'|\{[^}]*\}|\[[^\]]*\])$/.test(text) ? `\`${text}\`` : text
}

function entry(functionName: string, option: Option): string {
  const points = option.points.map((point) => `- ${emphasised(point)}`)
  return [
    `#### ${headingOf(functionName, option)}\n`,
    `${option.paragraphs.join('\n\n')}\n`,
    ...(points.length === 0 ? [] : [`${points.join('\n')}\n`]),
  ].join('\n')
}

function emphasised(point: string): string {
  const lead = [RAISING, LOWERING, CHANGE_WHEN].find((start) => point.startsWith(start))
  return lead === undefined ? point : `**${lead.trim()}** ${point.slice(lead.length)}`
}
