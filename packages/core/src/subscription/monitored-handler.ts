import { InvalidOptionError } from '../kernel/errors.ts'
import type { Monitor } from './monitor.ts'

/** The same handler, whose calls are told to `monitor`: when they begin, and how they end. */
export function monitoredHandler<P, Item, I extends Item, Rest extends unknown[], R>(
  monitor: Monitor<P, Item>,
  handler: (item: I, ...rest: Rest) => R,
): (item: I, ...rest: Rest) => R {
  if (typeof handler !== 'function') throw new InvalidOptionError('handler', 'a function', handler)
  return function (this: unknown, item: I, ...rest: Rest): R {
    const end = monitor.handling(item)
    try {
      const result = handler.call(this, item, ...rest)
      if (!isThenable(result)) {
        end('done')
        return result
      }
      // Asked once: a query of a query builder (Prisma, Drizzle, Knex) runs when it is asked.
      const ending = result instanceof Promise ? result : Promise.resolve(result)
      // The same outcome: a rejection that nobody looks at is told of as before.
      return ending.then(
        (value: unknown) => {
          end('done')
          return value
        },
        (error: unknown) => {
          end('failed')
          throw error
        },
      ) as R
    } catch (error) {
      end('failed')
      throw error
    }
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
    'then' in value &&
    typeof value.then === 'function'
  )
}
