import { expect, test } from 'vitest'
import { keyedGroups, keyOfAll, partedByKey } from '../../packages/core/src/failures/keys.ts'
import { Random } from './model/random.ts'

interface Event {
  readonly position: number
  readonly key: string
}

const keyOf = ({ key }: Event): string => key
const isSame = (a: number, b: number): boolean => a === b

/** Up to twenty events, some of which share a position and then a key. */
function events(random: Random): readonly Event[] {
  const all: Event[] = []
  for (let n = random.below(20); n > 0; n--) {
    const last = all.at(-1)
    const key = `k${random.below(4)}`
    all.push(
      last && random.chance(0.2) ? last : { position: (last?.position ?? 0) + 1 + random.below(2), key },
    )
  }
  return all
}

test('of a batch each event is handed out or parked, by its key alone, in its order', () => {
  for (let seed = 0; seed < 2_000; seed++) {
    const random = new Random(seed)
    const all = events(random)
    const isParked = new Set(['k0', 'k1', 'k2', 'k3'].filter(() => random.chance(0.4)))
    const page = { events: all, positions: all.map(({ position }) => position), types: all.map(keyOf) }
    const { handed, parked } = partedByKey(keyedGroups(page, keyOf, isSame), (key) => isParked.has(key))
    expect(handed, `seed ${seed}`).toEqual(all.filter(({ key }) => !isParked.has(key)))
    expect(
      parked.flatMap((group) => group.events),
      `seed ${seed}`,
    ).toEqual(all.filter(({ key }) => isParked.has(key)))
    for (const group of parked) {
      expect(group.events).toEqual(all.filter(({ position }) => position === group.position))
      expect(group.types).toEqual([group.key])
    }
  }
})

test.each<[string, readonly unknown[], string]>([
  ['several keys at one position', ['a', 'b'], 'found "a", "b"'],
  ['no text', [5], 'found number'],
  ['an empty text', [''], 'found ""'],
  ['a text that no column takes', ['a\0'], '1 to 1000 characters'],
  ['a text that is too long', ['a'.repeat(1_001)], '1 to 1000 characters'],
  ['no event', [], 'cannot be mapped'],
])('%s is no key', (_, keys, message) => {
  expect(() => keyOfAll(keys, (key) => key as string)).toThrow(message)
})
