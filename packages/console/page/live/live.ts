import { computed, type ReadonlySignal, type Signal, signal } from '@preact/signals'
import type { HistoryAnswer, Job, LiveMessage, Overview } from '../../src/protocol.ts'
import { aheadMs, browserMs } from '../parts/clock.ts'
import { type Freshness, freshness, oldAfterMs, type Via } from '../pure/freshness.ts'
import { type Past, pastOf, withOverview } from '../pure/past.ts'
import { type ApiError, asApiError, get, loadSession, session } from './api.ts'

const message: Signal<LiveMessage | undefined> = signal(undefined)
const receivedAtMs: Signal<number | undefined> = signal(undefined)
const via: Signal<Via> = signal('stream')
/** Why the last question was not answered. */
const refusal: Signal<ApiError | undefined> = signal(undefined)

export const overview: ReadonlySignal<Overview | undefined> = computed(
  () => message.value?.overview ?? undefined,
)
export const jobs: ReadonlySignal<readonly Job[]> = computed(() => message.value?.jobs ?? [])
/** Moves with each message, whatever it says. */
export const messages: ReadonlySignal<LiveMessage | undefined> = message
export const past: Signal<Past> = signal(pastOf(undefined))
export const fresh: ReadonlySignal<Freshness> = computed(() =>
  freshness(
    {
      via: via.value,
      refusal: refusal.value,
      receivedAtMs: receivedAtMs.value,
      message: message.value,
      lookEveryMs: lookEveryMs(),
    },
    browserMs.value,
  ),
)

const DEFAULT_LOOK_MS = 2_000
const OPEN_AGAIN_MS = 2_000
const NOTICED_MS = 1_000

const lookEveryMs = (): number => session.value?.lookEveryMs ?? DEFAULT_LOOK_MS

let stream: EventSource | undefined
let openedAtMs = 0
let heardAtMs = 0
let isPolling = false
let hiddenSinceMs: number | undefined

/** A browser has six connections to a server, whatever the number of its tabs. */
const HIDDEN_FOR_MS = 60_000

/** From now on, for as long as the page is there. */
export function follow(): void {
  openStream()
  setInterval(watchOver, 1_000)
  const look = (): void => {
    hiddenSinceMs = document.hidden ? Date.now() : undefined
    if (!document.hidden && stream?.readyState === EventSource.CLOSED) openStream()
  }
  document.addEventListener('visibilitychange', look)
  look()
}

function openStream(): void {
  stream?.close()
  openedAtMs = Date.now()
  const opened = new EventSource('api/live')
  stream = opened
  // Again after each interruption: the server may be another one, which has another past and another token.
  opened.onopen = () => void begin()
  opened.onmessage = ({ data }) => {
    heardAtMs = Date.now()
    receive(JSON.parse(String(data)) as LiveMessage, 'stream')
  }
  // It is opened again by itself, or by `watchOver`; until then it is asked whether anybody is there.
  opened.onerror = () => void poll()
}

async function begin(): Promise<void> {
  try {
    await loadSession()
    past.value = pastOf(await get<HistoryAnswer>('history'), past.value)
  } catch {
    // The stream goes on, or is opened again: nothing is lost but the beginning of the lines.
  }
}

function receive(from: LiveMessage, how: Via): void {
  message.value = from
  receivedAtMs.value = Date.now()
  const ahead = from.sentAtMs - Date.now()
  // Else it would move with each message, as long as that took.
  if (Math.abs(ahead - aheadMs.value) > NOTICED_MS) aheadMs.value = ahead
  via.value = how
  if (from.overview !== null) past.value = withOverview(past.value, from.overview)
}

/** A stream that is closed is opened again; where one is silent, the same is asked for piece by piece. Nobody asks while nobody looks. */
function watchOver(): void {
  const now = Date.now()
  if (hiddenSinceMs !== undefined) {
    if (now - hiddenSinceMs > HIDDEN_FOR_MS) stream?.close()
    return
  }
  if (now - Math.max(heardAtMs, openedAtMs) < oldAfterMs(lookEveryMs())) {
    if (stream?.readyState !== EventSource.CLOSED) return
    if (now - openedAtMs > OPEN_AGAIN_MS) openStream()
  } else {
    // A proxy may keep the connection and hand nothing on.
    openStream()
  }
  void poll()
}

/** One question at a time, until the stream speaks. */
async function poll(): Promise<void> {
  if (isPolling) return
  isPolling = true
  try {
    do {
      const asked = Date.now()
      try {
        const answer = await get<LiveMessage>('overview')
        if (session.value === undefined) await begin()
        if (heardAtMs < asked) receive(answer, 'polling')
      } catch (error) {
        if (heardAtMs < asked) {
          refusal.value = asApiError(error)
          via.value = 'none'
        }
      }
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs()))
    } while (hiddenSinceMs === undefined && Date.now() - heardAtMs > oldAfterMs(lookEveryMs()))
  } finally {
    isPolling = false
  }
}
