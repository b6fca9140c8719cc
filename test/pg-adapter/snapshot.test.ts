import { expect, test } from 'vitest'
import { formatLogPosition, lsnOf, snapshotOf } from '../../packages/pg-adapter/src/server/log-position.ts'
import { isSeen, parseSnapshot, type Snapshot } from '../../packages/pg-adapter/src/server/snapshot.ts'

const EPOCH = 2n ** 32n

function snapshot(text: string): Snapshot {
  const parsed = parseSnapshot(text)
  if (parsed === undefined) throw new Error(`no snapshot: ${text}`)
  return parsed
}

test.each([
  ['within an epoch', 1_000n],
  ['across the end of an epoch', EPOCH],
  ['many epochs on', 7n * EPOCH + 3n],
])('a transaction is seen where it had ended, %s', (_, at) => {
  const seen = snapshot(`${at - 2n}:${at + 3n}:${at - 2n},${at + 1n}`)
  const now = at + 10n
  for (let xid = at - 900n; xid < now; xid++) {
    const short = xid % EPOCH
    // 0 to 2 are never given to a transaction.
    if (short < 3n) continue
    const hadEnded = xid < at + 3n && xid !== at - 2n && xid !== at + 1n
    expect([xid, isSeen(seen, short.toString(), now)]).toEqual([xid, hadEnded])
  }
})

test('rows frozen by an old server were seen', () => {
  expect(isSeen(snapshot('900:900:'), '2', 1_000n)).toBe(true)
})

test('of very many running transactions only less is taken as seen, never more', () => {
  const running = Array.from({ length: 1_000 }, (_, n) => 1_000n + 2n * BigInt(n))
  const whole = new Set(running)
  const kept = snapshot(`1000:4000:${running.join(',')}`)
  expect(kept.running.size).toBe(500)
  for (let xid = 990n; xid < 4_010n; xid++) {
    if (isSeen(kept, xid.toString(), 5_000n)) expect(xid < 4_000n && !whole.has(xid)).toBe(true)
  }
})

test('a log position keeps both, and one of another store has neither', () => {
  const text = formatLogPosition('16/B374D848', snapshot('751:760:751,755'))
  expect(text).toBe('16/B374D848 751:760:751,755')
  expect(lsnOf(text)).toBe('16/B374D848')
  expect(snapshotOf(text)).toEqual(snapshot('751:760:751,755'))
  expect(lsnOf('FFFF/0')).toBe('FFFF/0')
  expect([lsnOf(undefined), lsnOf('some text'), snapshotOf('FFFF/0'), snapshotOf('some text')]).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ])
})
