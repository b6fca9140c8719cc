import type { WatchedConsumer } from '@tidemark/core'
import type { Consumer } from './consumer.ts'

/** What one consumer has lost, and what the watch has told of it. */
export interface Judged {
  readonly name: string
  readonly committed: number
  readonly handled: number
  /** Never handed to its handler, since its read could not see them yet. */
  readonly lostToVisibility: number
  /** Never handed to its handler though its read could see them. */
  readonly lostOtherwise: number
  /** Told by the watch, and really lost. */
  readonly provenLost: number
  /** Told by the watch, and not lost, or told twice. */
  readonly falselyAccused: number
  /** Told by `monitorHandler` around its handler, and really lost, to visibility or otherwise. */
  readonly toldByMonitor: number
  /** Told by it, and not lost, or told twice. */
  readonly falselyByMonitor: number
  /** Became visible late, and the watch could not tell: each reason with its count. */
  readonly cannotTell: WatchedConsumer['cannotTell']
}

export interface Evidence {
  readonly consumer: Consumer
  /** Positions of its table when all was over. */
  readonly committed: readonly number[]
  /** When COMMIT had returned. */
  readonly committedAt: (position: number) => number | undefined
  /** Positions that the watch has told, in the order in which it has. */
  readonly told: readonly number[]
  readonly toldByMonitor: readonly number[]
  readonly watched: WatchedConsumer | undefined
}

export function judge(evidence: Evidence): Judged {
  const { consumer, committed, committedAt, told, toldByMonitor, watched } = evidence
  const lost = new Set(committed.filter((position) => !consumer.handled.has(position)))
  const couldSee = [...lost].filter((position) =>
    consumer.couldSee(position, committedAt(position) ?? Number.POSITIVE_INFINITY),
  )
  const proven = new Set(told.filter((position) => lost.has(position)))
  const monitored = new Set(toldByMonitor.filter((position) => lost.has(position)))
  return {
    name: consumer.name,
    committed: committed.length,
    handled: committed.length - lost.size,
    lostToVisibility: lost.size - couldSee.length,
    lostOtherwise: couldSee.length,
    provenLost: proven.size,
    falselyAccused: told.length - proven.size,
    toldByMonitor: monitored.size,
    falselyByMonitor: toldByMonitor.length - monitored.size,
    cannotTell: watched?.cannotTell ?? {},
  }
}
