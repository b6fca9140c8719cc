import type { Subjects } from './message.ts'

interface Settings extends Subjects {
  readonly databaseUrl: string
  readonly natsUrl: string
  readonly stream: string
}

/** From the environment; ends the program where something is missing. */
export function readSettings(): Settings {
  const {
    DATABASE_URL,
    NATS_URL,
    STREAM = 'EVENTS',
    SUBJECT_PREFIX = 'events',
    PARTITIONS = '8',
  } = process.env
  const partitions = Number(PARTITIONS)
  const missing = [
    ...(DATABASE_URL
      ? []
      : ['DATABASE_URL is not set: expected, say, postgres://postgres@localhost:5432/postgres']),
    ...(NATS_URL ? [] : ['NATS_URL is not set: expected, say, nats://localhost:4222']),
    ...(Number.isInteger(partitions) && partitions > 0
      ? []
      : [`PARTITIONS is ${PARTITIONS}: expected a whole number above 0`]),
  ]
  if (!DATABASE_URL || !NATS_URL || missing.length > 0) {
    for (const line of missing) console.error(line)
    process.exit(2)
  }
  return { databaseUrl: DATABASE_URL, natsUrl: NATS_URL, stream: STREAM, prefix: SUBJECT_PREFIX, partitions }
}
