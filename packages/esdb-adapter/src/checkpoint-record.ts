import { randomUUID } from 'node:crypto'
import { ALL_SLOTS, type Checkpoint, SKIP_REASONS, type SkipReason, type Unit } from '@tidemark/core/adapter'
import type { EsdbEventData, EsdbRecord } from './client.ts'
import { CheckpointFormatError } from './errors.ts'

/** What the last event of a checkpoint's stream says. */
export interface CheckpointRecord extends Checkpoint {
  readonly position: string
  readonly source: string
}

export function checkpointEvent({ source, position, skipped }: CheckpointRecord): EsdbEventData {
  const totals = Object.entries(skipped).map(([reason, count]) => [reason, String(count)])
  return jsonEvent('TidemarkCheckpoint', { source, position, skipped: Object.fromEntries(totals) })
}

export function parseCheckpoint({ data, streamId, revision }: EsdbRecord): CheckpointRecord {
  if (!isObject(data) || typeof data.source !== 'string' || typeof data.position !== 'string') {
    throw new CheckpointFormatError(
      `event ${revision} of stream "${streamId}" is no checkpoint of Tidemark's: someone else writes to this stream`,
    )
  }
  return { source: data.source, position: data.position, skipped: parseSkipTotals(data.skipped) }
}

/** An entry of the list of checkpoints. */
export interface ListedCheckpoint {
  readonly unit: Unit
  readonly source: string
}

export function listingEvent({ unit, source }: ListedCheckpoint): EsdbEventData {
  const { projection, version, slots } = unit
  return jsonEvent('TidemarkCheckpointCreated', { projection, version, slots, source })
}

export function parseListing({ data, streamId, revision }: EsdbRecord): ListedCheckpoint {
  if (!isObject(data) || typeof data.source !== 'string' || typeof data.projection !== 'string') {
    throw new CheckpointFormatError(
      `event ${revision} of stream "${streamId}" is not of Tidemark's list of checkpoints: someone else writes to this stream`,
    )
  }
  const { projection, source, version = 1, slots } = data
  const { from, to } = isObject(slots) ? slots : ALL_SLOTS
  return {
    unit: { projection, version: Number(version), slots: { from: Number(from), to: Number(to) } },
    source,
  }
}

function parseSkipTotals(skipped: unknown): Checkpoint['skipped'] {
  const stored = isObject(skipped) ? skipped : {}
  const totals: Partial<Record<SkipReason, bigint>> = {}
  for (const reason of SKIP_REASONS)
    if (stored[reason] !== undefined) totals[reason] = BigInt(String(stored[reason]))
  return totals
}

function jsonEvent(type: string, data: Record<string, unknown>): EsdbEventData {
  return { id: randomUUID(), contentType: 'application/json', type, data, metadata: undefined }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
