import { expect, test } from 'vitest'
import { withConnection } from '../../packages/pg-adapter/src/client.ts'

/** More microtasks than lie between a pool's answer and the first statement. */
const MICROTASKS = 8

test.each(Array.from({ length: MICROTASKS }, (_, microtasks) => microtasks))(
  'a signal that fires %i microtasks after the pool gave a connection ends the call, and the connection is let go',
  async (microtasks) => {
    const stop = new AbortController()
    const released: (boolean | undefined)[] = []
    const client = {
      query: () => new Promise<never>(() => {}),
      release: (destroy?: boolean) => void released.push(destroy),
      on: () => {},
      removeListener: () => {},
    }
    const pool = {
      connect: () => {
        const given = Promise.resolve(client)
        void given.then(async () => {
          for (let n = 0; n < microtasks; n++) await Promise.resolve()
          stop.abort(new Error('stopped'))
        })
        return given
      },
      pool: { connect: async () => client },
      queryTimeoutMs: 60_000,
    }
    const call = withConnection(pool, stop.signal, (given) => given.query())
    const ended = await Promise.race([
      call.catch((error: unknown) => error),
      new Promise((resolve) => setImmediate(resolve, 'still under way')),
    ])
    expect(ended).toEqual(new Error('stopped'))
    expect(released).toHaveLength(1)
  },
)
