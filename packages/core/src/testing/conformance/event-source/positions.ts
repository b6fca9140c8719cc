import type { PositionOrder } from '../../../ports/position.ts'
import { expectEqual, expectThat } from '../expectations.ts'
import type { EventSourceFixture, EventSourceRule } from './fixture.ts'

/** `PositionOrder`, over the fixture's samples. */
export const POSITION_RULES: readonly EventSourceRule[] = [
  {
    name: 'the order of positions is total, and the samples ascend in it',
    check: async (store) => {
      const { order, samples } = samplesOf(store)
      samples.forEach((a, i) => {
        samples.forEach((b, j) => {
          expectEqual(
            Math.sign(order.compare(a, b)),
            Math.sign(i - j),
            `the sign of compare(${order.format(a)}, ${order.format(b)})`,
          )
        })
      })
    },
  },
  {
    name: 'a position comes back from its text to the last digit, and different positions have different texts',
    check: async (store) => {
      const { order, samples } = samplesOf(store)
      const texts = samples.map((position) => order.format(position))
      expectEqual(new Set(texts).size, texts.length, `how many different texts there are among ${texts}`)
      samples.forEach((position, n) => {
        const text = texts[n] ?? ''
        const parsed = order.parse(text)
        expectEqual(order.compare(parsed, position), 0, `compare(parse('${text}'), the position)`)
        expectEqual(order.format(parsed), text, `format(parse('${text}'))`)
      })
    },
  },
  {
    name: 'a text that is no position is refused with a TypeError',
    check: async (store) => {
      const { order, samples } = samplesOf(store)
      const texts = samples.map((position) => order.format(position))
      const wrong = ['', ' ', 'undefined', 'NaN', ...texts.flatMap((text) => [`${text}x`, ` ${text}`])]
      for (const text of wrong) {
        let found: unknown
        try {
          found = order.parse(text)
        } catch (error) {
          found = error
        }
        expectThat(found instanceof TypeError, `parse(${JSON.stringify(text)}) throws a TypeError`, found)
      }
    },
  },
  {
    name: 'distances are whole numbers of positions, and add up',
    needs: 'dense_positions',
    check: async (store) => {
      const { order, samples } = samplesOf(store)
      const [first, second, ...rest] = samples
      const distance = (from: typeof first, to: typeof first): bigint | undefined =>
        from === undefined || to === undefined ? undefined : order.distance?.(from, to)
      expectEqual(distance(first, first), 0n, 'the distance of a position to itself')
      const step = distance(first, second)
      expectThat(typeof step === 'bigint' && step > 0n, 'a distance upwards is a bigint above 0', step)
      for (const position of rest) {
        expectEqual(
          distance(first, position),
          (step ?? 0n) + (distance(second, position) ?? 0n),
          `the distance to ${order.format(position)}, by way of another position`,
        )
      }
    },
  },
  {
    name: 'positions as numbers for gauges, where there are any, are finite and never fall',
    check: async (store) => {
      const { order, samples } = samplesOf(store)
      if (!order.approximate) return
      const numbers = samples.map((position) => order.approximate?.(position) ?? Number.NaN)
      const rises = numbers.every(
        (number, n) => Number.isFinite(number) && number >= (numbers[n - 1] ?? number),
      )
      expectThat(rises, 'approximate() gives finite numbers that never fall', numbers)
    },
  },
]

function samplesOf<P, E>(
  store: EventSourceFixture<P, E>,
): {
  readonly order: PositionOrder<P>
  readonly samples: readonly P[]
} {
  const samples = store.samplePositions
  expectThat(samples.length >= 3, 'the fixture has at least three samplePositions', samples)
  return { order: store.open().order, samples }
}
