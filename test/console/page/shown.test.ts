import { describe, expect, test } from 'vitest'
import { folded } from '../../../packages/console/page/pure/folded.ts'
import { freshness, type Link } from '../../../packages/console/page/pure/freshness.ts'
import { lateRanges } from '../../../packages/console/page/pure/late-ranges.ts'
import { linkOf } from '../../../packages/console/page/pure/problem-links.ts'
import { hrefOf, parseRoute } from '../../../packages/console/page/pure/routes.ts'
import { shownRows } from '../../../packages/console/page/pure/rows.ts'
import type { LiveMessage, Problem } from '../../../packages/console/src/protocol.ts'
import { row } from './rows.ts'

describe('projections', () => {
  const rows = [
    row('stock', { state: 'stands', behind: '3' }),
    row('bills', { state: 'fails', behind: '1' }),
    row('mails', { state: 'paused', behind: '7', owners: ['node-b'] }),
    row('orders', { behind: '0', deadLetters: 2 }),
    row('search', { behind: '12', state: 'works' }),
    row('audit', { behind: null, state: 'unknown' }),
  ]
  const all = { text: '', state: '' } as const
  const names = (shown: readonly { readonly name: string }[]): readonly string[] =>
    shown.map(({ name }) => name)

  test('are shown the worst first, and among those that are alike by name', () => {
    const more = [...rows, row('accounts')]
    expect(names(shownRows(more, all, { by: 'state', isDescending: false }))).toEqual([
      'bills',
      'stock',
      'audit',
      'mails',
      'search',
      'orders',
      'accounts',
    ])
  })

  test('are found by a part of their name or of an owner, whatever the case', () => {
    const order = { by: 'name', isDescending: false } as const
    expect(names(shownRows(rows, { text: ' STO', state: '' }, order))).toEqual(['stock'])
    expect(names(shownRows(rows, { text: 'node-B', state: '' }, order))).toEqual(['mails'])
    expect(names(shownRows(rows, { text: '', state: 'works' }, order))).toEqual(['search'])
  })

  test('are sorted by a figure as by a number, with what is not known at the end of the large ones', () => {
    expect(names(shownRows(rows, all, { by: 'behind', isDescending: true }))).toEqual([
      'search',
      'mails',
      'stock',
      'bills',
      'orders',
      'audit',
    ])
  })
})

describe('an address', () => {
  test('leads back to what it was made of, whatever characters a name has', () => {
    const name = '<img src=x onerror=alert(1)>/a?b#c%'
    const route = parseRoute(hrefOf(['projections', name]))
    expect(route).toMatchObject({ page: 'projection', projection: name })
    const found = parseRoute(hrefOf(['dead-letters'], { projection: name, type: '', state: undefined }))
    expect(found.page).toBe('dead-letters')
    expect([...found.query]).toEqual([['projection', name]])
  })

  test('that is a place on the page is the overview, and one of nothing is told', () => {
    expect(['', '#', '#mark', '#/'].map((hash) => parseRoute(hash).page)).toEqual(
      Array.from({ length: 4 }, () => 'overview'),
    )
    expect(['#/nowhere', '#/nodes/1', '#/%E0%A4%A'].map((hash) => parseRoute(hash).page)).toEqual(
      Array.from({ length: 3 }, () => 'unknown'),
    )
  })
})

describe('how old it is what the page shows', () => {
  const message: LiveMessage = {
    id: '1',
    sentAtMs: 100_000,
    failure: null,
    jobs: [],
    overview: {
      atMs: 99_000,
      healthy: true,
      problems: [],
      notes: [],
      marks: [],
      projections: [],
      watched: [],
      lost: [],
      letters: { open: 0, oldestAtMs: null },
      lateEvents: 0,
      nodes: { alive: 0, gone: 0 },
      hidden: [],
    },
  }
  // The clock of this browser is an hour ahead.
  const received = 3_700_000
  const link: Link = {
    via: 'stream',
    refusal: undefined,
    receivedAtMs: received,
    message,
    lookEveryMs: 2_000,
  }

  test('is counted from when it came, so that the clocks of two machines do not matter', () => {
    expect(freshness(link, received + 500)).toEqual({ is: 'fresh', says: 'Live' })
    expect(freshness(link, received + 60_000)).toMatchObject({
      is: 'old',
      says: 'What is shown is 61 s old.',
    })
  })

  test('is told where the database is away, with since when and what to try', () => {
    const failure = {
      message: 'connection refused.',
      code: 'ECONNREFUSED',
      next: ['See whether it runs.'],
      sinceMs: 70_000,
    }
    const state = freshness({ ...link, message: { ...message, failure } }, received)
    expect(state).toEqual({
      is: 'database-away',
      says: 'The database cannot be looked at, for 30 s: connection refused. What is shown is 1 s old.',
      next: ['See whether it runs.'],
    })
  })

  test('is told where nobody answers, or somebody says no, with what to try', () => {
    const refusal = { message: 'You are not signed in.', next: ['Sign in.'] }
    expect(freshness({ ...link, via: 'none', refusal }, received + 5_000)).toEqual({
      is: 'server-away',
      says: 'You are not signed in. What is shown is 6 s old.',
      next: ['Sign in.'],
    })
    expect(freshness({ ...link, via: 'none', message: undefined, refusal }, received)).toMatchObject({
      is: 'server-away',
      says: 'You are not signed in. Nothing is shown yet.',
    })
  })

  test('is waited for where nothing has come yet', () => {
    expect(freshness({ ...link, receivedAtMs: undefined, message: undefined }, 0).is).toBe('waiting')
  })

  test('is told to be asked for where there is no stream', () => {
    expect(freshness({ ...link, via: 'polling' }, received)).toEqual({ is: 'fresh', says: 'Asked every 2 s' })
  })
})

test('problems of the shards of one projection are one, in the order of the first of each', () => {
  const about = (projection: string) => ({ source: 'events', projection, version: 1 })
  const problem = (what: string, projection: string): Problem => ({
    code: 'no_daemon',
    what,
    next: [],
    about: about(projection),
  })
  const problems = [problem('a[0-511]', 'a'), problem('b', 'b'), problem('a[512-1023]', 'a')]
  expect(folded(problems).map(({ first, others }) => [first.what, others.map(({ what }) => what)])).toEqual([
    ['a[0-511]', ['a[512-1023]']],
    ['b', []],
  ])
})

test('a problem leads to where on the page one does something about it', () => {
  const problem: Problem = {
    code: 'dead_letters',
    what: '',
    next: [],
    about: { source: 'events', projection: 'a&b', version: 1 },
  }
  expect(linkOf(problem)?.href).toBe('#/dead-letters?projection=a%26b')
  expect(linkOf({ ...problem, code: 'projection_fails' })?.href).toBe('#/projections/a%26b')
  expect(linkOf({ ...problem, code: 'paused' })?.href).toBe('#/projections/a%26b')
  expect(linkOf({ ...problem, code: 'mark_stands' })?.href).toBe('#mark')
})

test('late events are decided about from the lowest to the highest that is shown and open, source by source', () => {
  const late = (source: string, position: string, states: readonly ('open' | 'discarded')[]) => ({
    source,
    position,
    type: null,
    passed: 'proven_empty' as const,
    passedAtMs: null,
    foundAtMs: 0,
    units: states.map((state, n) => ({
      unit: `p${n}`,
      projection: `p${n}`,
      version: 1,
      state,
      decision: null,
      failures: 0,
      error: null,
      closedAtMs: null,
    })),
  })
  const shown = [
    late('a', '9', ['discarded']),
    late('a', '8', ['open', 'open']),
    late('b', '7', ['open']),
    late('a', '3', ['discarded', 'open']),
  ]
  expect(lateRanges(shown, '')).toEqual([
    { source: 'a', from: '3', to: '8', events: 3 },
    { source: 'b', from: '7', to: '7', events: 1 },
  ])
  expect(lateRanges(shown, 'p1')).toEqual([{ source: 'a', from: '3', to: '8', events: 2 }])
})
