import { InvalidOptionError } from '@tidemark/core/adapter'
import { type EsdbSubscription, isReadable } from './client.ts'
import { hasType } from './client-errors.ts'
import { EsdbReaderUnavailableError } from './errors.ts'

/** What ends a client that was made here. Both clients have it. */
interface DisposableClient {
  dispose(): Promise<unknown>
}

/**
 * A client, or a function that makes one. Give a function where the client is `@kurrent/kurrentdb-client` and the server a
 * cluster: after a leader has died, that client's reads go on asking the dead node until it is back (seen with 1.3.1), and
 * only a new client finds the new leader.
 *
 * The function is called at once, and again where reads have failed as unavailable for a second: at most once in 5 s. All
 * that is given the same function shares one client. A client that was replaced is disposed of as soon as nothing here uses
 * it. The newest one is never disposed of here: remember in the function what it made, and `dispose()` of that after `stop()`.
 */
export type ClientOption<C> = C | (() => C)

/** How long reads may fail before a new client is made: an election often takes that long, and before it there is none to find. */
const FAILING_FOR_MS = 1_000
const BETWEEN_CLIENTS_MS = 5_000

interface Made<C> {
  readonly client: C
  readonly madeAtMs: number
  failingSinceMs: number | undefined
  /** Calls that `dispose()` would cut. */
  uses: number
}

/** A read, and what is to be said of how it ended. */
export interface ClientRead<E> {
  readonly events: AsyncIterable<E>
  succeeded(): void
  /** Returns what to throw. */
  failed(what: string, error: unknown): unknown
}

/** All that have the same function share its client. */
const shared = new WeakMap<object, ClientInUse<never>>()

/** Throws `InvalidOptionError` where it is, or makes, no client with these methods. */
export function clientInUse<C extends object>(
  option: ClientOption<C>,
  methods: readonly string[],
): ClientInUse<C> {
  if (typeof option !== 'function') {
    requireClient(option, methods)
    return new ClientInUse(option, undefined)
  }
  const make = (): C => {
    const client = option()
    requireClient(client, [...methods, 'dispose'])
    return client
  }
  const known = shared.get(option) as ClientInUse<C> | undefined
  if (known !== undefined) {
    requireClient(known.current, methods)
    return known
  }
  const made = new ClientInUse<C>(make(), make)
  shared.set(option, made as ClientInUse<never>)
  return made
}

/** The client that calls are made with. One whose reads stay unavailable is replaced, where there is a function for it. */
export class ClientInUse<C extends object> {
  readonly #make: (() => C) | undefined
  #made: Made<C>

  constructor(first: C, make: (() => C) | undefined) {
    this.#make = make
    this.#made = madeNow(first)
  }

  get current(): C {
    return this.#made.client
  }

  read<E>(open: (client: C) => AsyncIterable<E>): ClientRead<E> {
    const made = this.#made
    const events = open(made.client)
    // Nothing ends a native read, and `dispose()` does not wait for it.
    const end = isReadable(events) ? this.#begin(made) : () => {}
    return {
      events,
      succeeded: () => {
        made.failingSinceMs = undefined
        end()
      },
      failed: (what, error) => {
        if (hasType(error, 'stream-not-found')) made.failingSinceMs = undefined
        const found = hasType(error, 'unavailable')
          ? this.#unavailable(made, what, error, isReadable(events))
          : error
        end()
        return found
      },
    }
  }

  subscribe(open: (client: C) => EsdbSubscription): EsdbSubscription {
    const subscription = open(this.#made.client)
    subscription.on('close', this.#begin(this.#made))
    return subscription
  }

  async call<T>(make: (client: C) => Promise<T>): Promise<T> {
    const made = this.#made
    const end = this.#begin(made)
    try {
      return await make(made.client)
    } finally {
      end()
    }
  }

  #unavailable(made: Made<C>, what: string, error: unknown, findsLeaders: boolean): unknown {
    if (this.#make === undefined) {
      return findsLeaders ? error : new EsdbReaderUnavailableError(what, ADVICE, error)
    }
    const nowMs = performance.now()
    made.failingSinceMs ??= nowMs
    const isDue = nowMs - made.failingSinceMs >= FAILING_FOR_MS && nowMs - made.madeAtMs >= BETWEEN_CLIENTS_MS
    if (made !== this.#made || !isDue) return error
    try {
      this.#made = madeNow(this.#make())
    } catch (cause) {
      const { message } = cause as Error
      return new EsdbReaderUnavailableError(
        what,
        `and no new client could be made: client() threw: ${message}`,
        cause,
      )
    }
    disposeOfUnused(made)
    return error
  }

  #begin(made: Made<C>): () => void {
    made.uses++
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      made.uses--
      if (made !== this.#made) disposeOfUnused(made)
    }
  }
}

const ADVICE =
  'if its cluster has another leader by now, a client of @kurrent/kurrentdb-client goes on asking the old one until that ' +
  'is back: give a function as `client`, so that a new client can be made; or connect with nodePreference=follower, or ' +
  'with @eventstore/db-client'

function madeNow<C>(client: C): Made<C> {
  return { client, madeAtMs: performance.now(), failingSinceMs: undefined, uses: 0 }
}

function disposeOfUnused({ client, uses }: Made<object>): void {
  if (uses > 0) return
  // A client that was given as it is is never replaced, so this one was made by the function.
  const { dispose } = client as DisposableClient
  void dispose.call(client).catch((error: unknown) => {
    process.emitWarning(`a client that was replaced could not be disposed of: ${error}`, 'TidemarkWarning')
  })
}

function requireClient(client: unknown, methods: readonly string[]): void {
  const isClient =
    typeof client === 'object' &&
    client !== null &&
    methods.every((method) => typeof (client as Record<string, unknown>)[method] === 'function')
  if (!isClient) {
    throw new InvalidOptionError(
      'client',
      'a client of @eventstore/db-client or @kurrent/kurrentdb-client, or a function that makes one',
      client,
    )
  }
}
