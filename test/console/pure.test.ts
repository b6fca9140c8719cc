import type { DeadLetter } from '@tidemark/core/operations'
import { describe, expect, test } from 'vitest'
import { RequestLimit, StreamLimit } from '../../packages/console/src/http/limits.ts'
import { placeOf } from '../../packages/console/src/http/path.ts'
import { Moves } from '../../packages/console/src/look/moves.ts'
import { groupsOf } from '../../packages/console/src/read/letters.ts'
import type { SourceNodes } from '../../packages/console/src/status/nodes.ts'

describe('the limit on requests', () => {
  test('lets as many through as were earned since, and never more than a minute has', () => {
    const limit = new RequestLimit(60)
    for (let n = 0; n < 60; n++) limit.take('ann', 0)
    expect(() => limit.take('ann', 0)).toThrow('More than 60 requests a minute')
    expect(() => limit.take('ann', 999)).toThrow()
    limit.take('bob', 999)
    limit.take('ann', 3_000)
    limit.take('ann', 3_000)
    for (let n = 0; n < 60; n++) limit.take('ann', 3_600_000)
    expect(() => limit.take('ann', 3_600_000)).toThrow()
  })

  test('remembers only so many viewers, and those who were heard of last', () => {
    const limit = new RequestLimit(1)
    limit.take('first', 0)
    for (let n = 0; n < 10_000; n++) limit.take(`viewer ${n}`, 0)
    expect(() => limit.take('viewer 9999', 0)).toThrow()
    limit.take('first', 0)
  })
})

test('of the live pages one viewer has no more than twenty, and each is given back once', () => {
  const limit = new StreamLimit(100)
  const [release] = Array.from({ length: 20 }, () => limit.take('ann'))
  expect(() => limit.take('ann')).toThrow('Too many pages are live')
  limit.take('bob')
  release?.()
  release?.()
  limit.take('ann')
  expect(() => limit.take('ann')).toThrow()
})

describe('a path', () => {
  test.each([
    ['/', '', '/', undefined],
    ['/?a=1', '', '/', undefined],
    ['/api/live', '', '/api/live', undefined],
    ['/console', '/console', '/', './console/'],
    ['/console/', '/console', '/', undefined],
    ['/console/api/live?x=/', '/console', '/api/live', undefined],
    ['/ops/console', '/ops/console', '/', './console/'],
  ])('%s of a console at "%s" is %s', (url, basePath, path, instead) => {
    expect(placeOf({ url }, basePath)).toMatchObject({ path, instead })
  })

  test.each(['/', '/consoles', '/other/console', '//console'])(
    '%s is not for a console at /console',
    (url) => {
      expect(placeOf({ url }, '/console')).toBeUndefined()
    },
  )

  test('that a host has cut off leads to where the page was asked for, and never to another host', () => {
    expect(placeOf({ url: '/', originalUrl: '/console?next=//evil' }, '')?.instead).toBe('./console/')
    expect(placeOf({ url: '/', originalUrl: '//evil.example' }, '')?.instead).toBe('./evil.example/')
    expect(placeOf({ url: '/', originalUrl: '/console/' }, '')?.instead).toBeUndefined()
  })
})

test('a unit moves when another node has it that is alive, when none has it, and not at the first look', () => {
  const unit = { projection: 'orders', version: 1, slots: { from: 0, to: 1_023 } }
  const nodes = (owner: string | undefined): readonly SourceNodes[] => [
    {
      source: 'events',
      unowned: [],
      nodes: ['a', 'b'].map((name) => ({
        id: name,
        name,
        source: 'events',
        capacity: 1,
        isAlive: true,
        isLeaving: false,
        desired: 'open',
        decision: undefined,
        presence: 'here',
        units: name === owner ? [unit] : [],
      })),
    },
  ]
  const moves = new Moves()
  for (const [n, owner] of ['a', 'a', 'b', undefined, 'a'].entries()) moves.add(nodes(owner), n)
  expect(moves.all()).toEqual([
    { atMs: 4, unit: 'orders', from: null, to: 'a' },
    { atMs: 3, unit: 'orders', from: 'b', to: null },
    { atMs: 2, unit: 'orders', from: 'a', to: 'b' },
  ])
})

test('letters are grouped by version and by the beginning of their error, the largest group first', () => {
  const letter = (projection: string, message: string, buriedAtMs: number): DeadLetter => ({
    id: String(buriedAtMs),
    projection,
    version: 1,
    source: 'events',
    firstPosition: '1',
    lastPosition: '1',
    events: 1,
    eventTypes: [projection === 'orders' ? 'OrderPaid' : 'MailSent'],
    stage: 'handle',
    error: { name: 'Error', message },
    tries: 1,
    key: undefined,
    node: 'a',
    buriedAtMs,
    retryAsked: undefined,
    closed: undefined,
  })
  const long = 'x'.repeat(300)
  const groups = groupsOf([
    letter('orders', 'boom', 1),
    letter('mails', `${long}1`, 2),
    letter('mails', `${long}2`, 3),
    letter('mails', 'boom', 4),
  ])
  expect(groups).toMatchObject([
    {
      projection: 'mails',
      error: `Error: ${'x'.repeat(193)}`,
      count: 2,
      oldestAtMs: 2,
      newestAtMs: 3,
      eventTypes: ['MailSent'],
    },
    { projection: 'orders', error: 'Error: boom', count: 1 },
    { projection: 'mails', error: 'Error: boom', count: 1 },
  ])
})
