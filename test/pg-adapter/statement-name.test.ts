import { expect, test } from 'vitest'
import { remembering, statementName } from '../../packages/pg-adapter/src/statement-name.ts'

/** Names texts by themselves, and writes down each that it is asked for. */
function named(most: number) {
  const asked: string[] = []
  const name = remembering((text) => {
    asked.push(text)
    return `name of ${text}`
  }, most)
  return { name, asked }
}

test('a name says what the statement is', () => {
  expect(statementName('select 1')).toMatch(/^tidemark_[0-9a-f]{32}$/)
  expect(statementName('select 1')).toBe(statementName('select 1'))
  expect(statementName('select 1')).not.toBe(statementName('select 2'))
})

test('the same texts are hashed once each', () => {
  const { name, asked } = named(2)
  for (let n = 0; n < 5; n++) expect([name('a'), name('b')]).toEqual(['name of a', 'name of b'])
  expect(asked).toEqual(['a', 'b'])
})

test('of texts that vary again and again the newest are remembered, and no more', () => {
  const { name, asked } = named(100)
  const texts = Array.from({ length: 10_000 }, (_, n) => `select ${n}`)
  for (const text of texts) name(text)
  asked.length = 0
  for (const text of texts.slice(-100)) name(text)
  expect(asked).toEqual([])
  for (const text of texts.slice(0, 9_900)) name(text)
  expect(asked).toEqual(texts.slice(0, 9_900))
})
