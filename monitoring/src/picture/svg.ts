type Attributes = Readonly<Record<string, string | number>>

/** An element; its children are markup already. */
export function tag(name: string, attributes: Attributes, ...children: readonly string[]): string {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(String(value))}"`)
  const inside = children.join('')
  return inside === '' ? `<${name}${written.join('')}/>` : `<${name}${written.join('')}>${inside}</${name}>`
}

export function text(words: string, attributes: Attributes): string {
  return tag('text', attributes, escaped(words))
}

export function describe(words: string): string {
  return tag('desc', {}, escaped(words))
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

export function escaped(words: string): string {
  return words.replace(/[&<>"]/g, (character) => ENTITIES[character] ?? character)
}

/** About how wide a text is in the fonts that a reader may have: nobody measures them here. */
export function widthOf(words: string, fontSize: number): number {
  return words.length * fontSize * 0.56
}
