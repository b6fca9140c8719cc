import { describe, expect, test } from 'vitest'
import { HELP, parseOptions } from '../../examples/demo/src/options.ts'

describe('the options of the demo', () => {
  test('have the defaults that the help names', () => {
    expect(parseOptions([])).toEqual({
      seconds: 20,
      writers: 8,
      mode: 'proof',
      thresholdMs: undefined,
      databaseUrl: undefined,
      port: 9464,
      lingerSeconds: 0,
      json: false,
    })
    expect(parseOptions(['--mode', 'stale-threshold'])).toMatchObject({ thresholdMs: 3_000 })
    for (const value of ['20', '8', '3000', '9464', '0']) expect(HELP).toContain(`default ${value}`)
  })

  test('are taken after the dashes that pnpm hands on', () => {
    expect(parseOptions(['--', '--json'])).toMatchObject({ json: true })
    expect(parseOptions(['--help'])).toBe('help')
  })

  test.each([
    [['--seconds', '0'], '--seconds: expected a whole number from 1 to 3600, found "0"'],
    [['--seconds', '1.5'], '--seconds: expected'],
    [['--seconds', ''], '--seconds: expected'],
    [['--writers', 'many'], '--writers: expected'],
    [['--writers=-1'], '--writers: expected'],
    [['--port', '65536'], '--port: expected a whole number from 0 to 65535, found "65536"'],
    [['--linger-seconds', 'long'], '--linger-seconds: expected a whole number from 0 to 3600'],
    [['--mode', 'guess'], '--mode: expected proof or stale-threshold, found "guess"'],
    [['--threshold-ms', '50'], '--threshold-ms: only with --mode stale-threshold'],
    [['--mode', 'stale-threshold', '--threshold-ms', '0'], '--threshold-ms: expected'],
    [['--database-url', 'mysql://localhost/db'], '--database-url: expected postgresql://'],
    [['--jsn'], '--jsn'],
    [['twenty'], 'twenty'],
    [['--seconds'], '--seconds'],
  ])('refuse %j', (args, message) => {
    expect(() => parseOptions(args)).toThrow(message)
  })

  test('never print a password', () => {
    expect(() => parseOptions(['--database-url', 'http://me:secret@host/db'])).not.toThrow(/secret/)
  })
})
