import pg from 'pg'

interface Sent {
  /** Each call of `query` is one, simple or extended. */
  readonly messages: number
  /** What they held: BEGIN and COMMIT are statements too. */
  readonly statements: number
}

/** Counts what the clients of a pool send, by what each message is called. */
export class Counter {
  readonly #sent = new Map<string, Sent>()
  readonly #name: (text: string) => string
  /** The `Client` of the pool. */
  readonly Client: typeof pg.Client

  /** @param name - of a message, from its text */
  constructor(name: (text: string) => string) {
    this.#name = name
    const count = (text: string, statements: number): void => this.#count(text, statements)
    this.Client = class extends pg.Client {
      override query = ((...parameters: Parameters<pg.Client['query']>) => {
        const [asked] = parameters as unknown as [string | { readonly text: string }]
        const text = typeof asked === 'string' ? asked : asked.text
        const answer: unknown = super.query(...parameters)
        if (!(answer instanceof Promise)) count(text, 1)
        else {
          // A message of several statements has as many results.
          answer.then(
            (results) => count(text, Array.isArray(results) ? results.length : 1),
            () => count(text, 1),
          )
        }
        return answer
      }) as pg.Client['query']
    }
  }

  get sent(): ReadonlyMap<string, Sent> {
    return new Map(this.#sent)
  }

  clear(): void {
    this.#sent.clear()
  }

  #count(text: string, statements: number): void {
    const name = this.#name(text)
    const before = this.#sent.get(name) ?? { messages: 0, statements: 0 }
    this.#sent.set(name, {
      messages: before.messages + 1,
      statements: before.statements + statements,
    })
  }
}
