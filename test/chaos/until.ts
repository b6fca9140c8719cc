import { setTimeout as sleep } from 'node:timers/promises'

const LOOK_EVERY_MS = 50

/** Resolves with the first truthy answer. While the server is down, asking fails: that is no answer. */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  timeoutMs = 30_000,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs
  let failure: unknown
  for (;;) {
    try {
      const answer = await ask()
      if (answer) return answer
      failure = undefined
    } catch (error) {
      failure = error
    }
    if (performance.now() > deadline)
      throw new Error(`waited ${timeoutMs} ms until ${what}`, { cause: failure })
    await sleep(LOOK_EVERY_MS)
  }
}

/** Something that others wait at. */
export interface Gate {
  /** Resolves when somebody has come to it while it was shut. */
  readonly reached: Promise<void>
  shut(): void
  open(): void
  pass(): Promise<void>
}

export function gate(): Gate {
  let isOpen = true
  let waiting: (() => void)[] = []
  let arrived: () => void = () => {}
  const reached = new Promise<void>((resolve) => {
    arrived = resolve
  })
  return {
    reached,
    shut: () => {
      isOpen = false
    },
    open: () => {
      isOpen = true
      for (const go of waiting) go()
      waiting = []
    },
    pass: async () => {
      if (isOpen) return
      arrived()
      await new Promise<void>((resolve) => {
        waiting.push(resolve)
      })
    },
  }
}
