import { denseOrder, resumeSettled, type StoredProgress, wholeUnit } from '@tidemark/core/adapter'
import { expect, test } from 'vitest'

const checkpoint = (
  position: bigint | undefined,
  settled?: bigint,
  incarnation = 'old',
): StoredProgress<bigint> => ({
  unit: wholeUnit('any'),
  position,
  settled,
  incarnation,
  logPosition: undefined,
})

test('without anything remembered nothing is settled', () => {
  expect(resumeSettled(denseOrder, [], 'now')).toBeUndefined()
  expect(resumeSettled(denseOrder, [checkpoint(undefined)], 'now')).toBeUndefined()
})

test('goes on from the greatest position settled in this very incarnation', () => {
  expect(resumeSettled(denseOrder, [checkpoint(4n, 9n, 'now'), checkpoint(5n, 12n, 'now')], 'now')).toBe(12n)
})

test('a settled position of another incarnation is worth nothing: its numbers may be handed out again', () => {
  expect(resumeSettled(denseOrder, [checkpoint(4n, 900n, 'before the crash')], 'now')).toBe(4n)
})

test('a checkpoint of any incarnation is settled: it rests on an event that was seen', () => {
  const stored = [checkpoint(20n, 30n, 'before the crash'), checkpoint(4n, 9n, 'now')]
  expect(resumeSettled(denseOrder, stored, 'now')).toBe(20n)
})

test('position 0 is a position', () => {
  expect(resumeSettled(denseOrder, [checkpoint(0n)], 'now')).toBe(0n)
})
