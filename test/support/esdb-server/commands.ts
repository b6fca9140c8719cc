import { randomUUID } from 'node:crypto'
import type { Database } from './database.ts'
import { LINK } from './links.ts'
import type { Listener } from './listener.ts'
import { type Log, type NewEvent, systemEvent } from './log.ts'
import { errorFor } from './misbehaviour.ts'
import type { OpenCall } from './open-calls.ts'
import { fellBehind } from './read-responses.ts'
import type { CallFilter, EventToWrite, Steering } from './steering.ts'

/** What the commands of a test do. */
export function commands(database: Database, listener: Listener, newLog: () => Log): Steering {
  const { calls, misbehaviour } = database
  const each = (which: CallFilter, act: (call: OpenCall<never>) => unknown): number => {
    const chosen = calls.filter(which)
    for (const call of chosen) void act(call)
    return chosen.length
  }
  return {
    write: (stream, events, how = {}) => {
      for (const group of how.transaction ? [events] : events.map((event) => [event])) {
        const createdMs = group[0]?.createdMs
        database.log.append(stream, group.map(newEvent), {
          ...how,
          ...(createdMs === undefined ? {} : { createdMs }),
        })
      }
    },
    writeLink: (from, stream, revision) =>
      void database.log.append(from, [systemEvent(LINK, `${revision}@${stream}`)]),
    writeStatistics: () => writeStatistics(database.log, listener.port),
    skipBytes: (bytes) => database.log.skipBytes(bytes),
    skipRevisions: (stream, count) => database.log.skipRevisions(stream, count),
    scavenge: (stream, first, last) => {
      for (const record of database.log.stream(stream)?.records ?? []) {
        if (record.revision >= first && record.revision <= last) record.scavenged = true
      }
    },
    cutConnections: (which) => listener.cut(which && new Set(calls.filter(which).map(({ peer }) => peer))),
    endCalls: (which) => each(which, (call) => call.end()),
    failCalls: (which, error, leader) => each(which, (call) => call.fail(errorFor(call, error, leader))),
    refuseCalls: (which, error, times, leader) => misbehaviour.refuse(which, error, times, leader),
    stall: (which, after = 0) => misbehaviour.stall(which, after),
    resume: () => misbehaviour.resume(),
    delay: (which, delayMs) => misbehaviour.delay(which, delayMs),
    postpone: (which) => misbehaviour.postpone(which),
    sendFellBehind: (which) =>
      each({ ...which, kind: 'subscription' }, (call) => call.send(fellBehind(undefined) as never)),
    close: () => listener.close(),
    open: () => listener.open(),
    restart: async ({ keepLog }) => {
      listener.close()
      database.reload(keepLog ? database.log : newLog())
      await listener.open()
    },
    setCluster: (nodes) => {
      database.cluster = nodes
    },
    counters: () => ({
      open: calls.open,
      received: { ...calls.received },
      eventsAppended: database.eventsAppended,
      connections: listener.connections,
    }),
  }
}

function newEvent({ type, data = {}, metadata, id = randomUUID() }: EventToWrite): NewEvent {
  return {
    id,
    type,
    isJson: true,
    data: Buffer.from(JSON.stringify(data)),
    metadata: metadata === undefined ? new Uint8Array() : Buffer.from(JSON.stringify(metadata)),
  }
}

// MonitoringService.cs: a stream for each node, whose events are kept for a day.
function writeStatistics(log: Log, port: number): void {
  const stream = `$stats-127.0.0.1:${port}`
  if (log.stream(stream) === undefined) {
    log.append(`$$${stream}`, [systemEvent('$metadata', { $maxAge: 86_400 })])
  }
  log.append(stream, [systemEvent('$statsCollected', { 'proc-id': process.pid })])
}
