import { expect, test, vi } from 'vitest'
import { type PollFailedReport, reportTo } from '../../packages/core/src/telemetry/telemetry.ts'

const report: PollFailedReport = { source: 'events', error: undefined }

test('telemetry that throws is handed over and never reaches the work, or who is told next', () => {
  const onError = vi.fn()
  const boom = new Error('exporter')
  const after = vi.fn()
  const throwing = {
    pollFailed: () => {
      throw boom
    },
  }
  const reports = reportTo(() => [throwing, { pollFailed: after }], onError)
  expect(() => reports.pollFailed(report)).not.toThrow()
  expect(onError).toHaveBeenCalledWith(boom)
  expect(after).toHaveBeenCalledWith(report)
})

test('an async telemetry method that rejects does not end the process', async () => {
  const onError = vi.fn()
  const boom = new Error('exporter')
  reportTo(() => [{ pollFailed: () => Promise.reject(boom) as never }], onError).pollFailed(report)
  await new Promise((resolve) => setImmediate(resolve))
  expect(onError).toHaveBeenCalledWith(boom)
})

test('an error handler that throws does not reach the work either', () => {
  const fail = (): never => {
    throw new Error('boom')
  }
  expect(() => reportTo(() => [{ pollFailed: fail }], fail).pollFailed(report)).not.toThrow()
})

test('methods keep their object', () => {
  class Counting {
    failures = 0
    pollFailed(): void {
      this.failures++
    }
  }
  const counting = new Counting()
  reportTo(
    () => [counting],
    () => {},
  ).pollFailed(report)
  expect(counting.failures).toBe(1)
})
