import { computed, type ReadonlySignal, type Signal, signal } from '@preact/signals'

/** The time of this browser. It moves once a second, and not while nobody looks. */
export const browserMs: Signal<number> = signal(Date.now())

/** By how much the clock of the server is ahead. */
export const aheadMs: Signal<number> = signal(0)

/** The time of the server, by which ages are counted: the clock of this browser may be minutes off. */
export const nowMs: ReadonlySignal<number> = computed(() => browserMs.value + aheadMs.value)

setInterval(() => {
  if (!document.hidden) browserMs.value = Date.now()
}, 1_000)
document.addEventListener('visibilitychange', () => {
  browserMs.value = Date.now()
})
