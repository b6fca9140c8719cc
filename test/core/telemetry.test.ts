import { expect, test, vi } from 'vitest'
import { guardTelemetry, type PollFailedReport } from '../../packages/core/src/telemetry/telemetry.ts'

const report: PollFailedReport = { source: 'events', error: undefined }

test('telemetry that throws is handed over and never reaches the work', () => {
  const onError = vi.fn()
  const boom = new Error('exporter')
  const guarded = guardTelemetry(
    {
      pollFailed: () => {
        throw boom
      },
    },
    onError,
  )
  expect(() => guarded.pollFailed(report)).not.toThrow()
  expect(onError).toHaveBeenCalledWith(boom)
})

test('an async telemetry method that rejects does not end the process', async () => {
  const onError = vi.fn()
  const boom = new Error('exporter')
  guardTelemetry({ pollFailed: () => Promise.reject(boom) as never }, onError).pollFailed(report)
  await new Promise((resolve) => setImmediate(resolve))
  expect(onError).toHaveBeenCalledWith(boom)
})

test('an error handler that throws does not reach the work either', () => {
  const fail = (): never => {
    throw new Error('boom')
  }
  expect(() => guardTelemetry({ pollFailed: fail }, fail).pollFailed(report)).not.toThrow()
})

test('methods keep their object', () => {
  class Counting {
    failures = 0
    pollFailed(): void {
      this.failures++
    }
  }
  const counting = new Counting()
  guardTelemetry(counting, () => {}).pollFailed(report)
  expect(counting.failures).toBe(1)
})
