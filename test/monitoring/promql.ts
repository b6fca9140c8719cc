import { parser } from '@prometheus-io/lezer-promql'
import { INSTRUMENTS, type InstrumentName } from '@tidemark/core'

const PREFIX = 'martend_async_daemon_'

/** What Grafana puts in. */
const VARIABLES: Readonly<Record<string, string>> = {
  '${prefix}': PREFIX,
  $__rate_interval: '5m',
  $__range: '3h',
  $projection: '.+',
  $job: '.*',
}

export function expand(query: string): string {
  const expanded = Object.entries(VARIABLES).reduce(
    (text, [name, value]) => text.replaceAll(name, value),
    query,
  )
  if (expanded.includes('$') && !expanded.includes('"$1"'))
    throw new Error(`an unknown variable in ${expanded}`)
  return expanded
}

/** One selector of a query: which instrument, by which of its names, and how it is aggregated. */
export interface Selected {
  readonly text: string
  readonly instruments: readonly InstrumentName[]
  readonly names: readonly string[]
  readonly labels: readonly { readonly name: string; readonly operator: string; readonly value: string }[]
  /** The innermost aggregation around it, as `sum by (source)`. */
  readonly aggregation: string
}

type Tree = ReturnType<typeof parser.parse>
type Node = Tree['topNode']

/** Throws where a query is no PromQL. */
export function selectorsOf(query: string): readonly Selected[] {
  const tree = parser.parse(query)
  const selected: Selected[] = []
  tree.iterate({
    enter: ({ node }) => {
      if (node.type.isError)
        throw new Error(`at ${node.from}: ${query.slice(0, node.from)} >>>HERE>>> ${query}`)
      if (node.name === 'VectorSelector') selected.push(read(node, query))
    },
  })
  return selected
}

function read(selector: Node, query: string): Selected {
  const textOf = (node: Node | null): string => (node ? query.slice(node.from, node.to) : '')
  const labels: { name: string; operator: string; value: string }[] = []
  selector.cursor().iterate((node) => {
    if (node.name !== 'UnquotedLabelMatcher') return
    const [name, operator, value] = [
      node.node.firstChild,
      node.node.firstChild?.nextSibling,
      node.node.lastChild,
    ]
    labels.push({
      name: textOf(name),
      operator: textOf(operator ?? null),
      value: JSON.parse(textOf(value)) as string,
    })
  })
  const identifier = textOf(selector.getChild('Identifier'))
  const byName = labels.find(({ name }) => name === '__name__')
  const matches = byName ? new RegExp(`^(?:${byName.value})$`) : new RegExp(`^${identifier}$`)
  const names = [...EXPORTED].filter(([name]) => matches.test(name))
  let around = selector.parent
  while (around && around.name !== 'AggregateExpr') around = around.parent
  return {
    text: textOf(selector),
    names: names.map(([name]) => name),
    instruments: [...new Set(names.map(([, instrument]) => instrument))],
    labels: labels.filter(({ name }) => name !== '__name__'),
    aggregation: `${textOf(around?.getChild('AggregateOp') ?? null)} ${textOf(around?.getChild('AggregateModifier') ?? null)}`,
  }
}

/** The names that both backends give each instrument on a scrape. */
const EXPORTED: ReadonlyMap<string, InstrumentName> = new Map(
  (Object.keys(INSTRUMENTS) as InstrumentName[]).flatMap((name) => {
    const suffixes = { counter: ['', '_total'], gauge: [''], histogram: ['_bucket', '_sum', '_count'] }
    return suffixes[INSTRUMENTS[name].kind].map((suffix) => [PREFIX + name + suffix, name] as const)
  }),
)
