import type { Log } from '../log.ts'
import { Group } from './group.ts'
import type { Settings } from './settings.ts'
import { deleteStreams, saveConfiguration } from './system-streams.ts'

// PersistentSubscriptionService: timeouts and checkpoints are looked at once a second.
const TICK_MS = 1_000

/** PersistentSubscriptionService.cs: the groups of one run of the server. */
export class Groups {
  readonly #log: Log
  readonly #groups = new Map<string, Group>()
  readonly #stopped = new AbortController()

  /** @param settings - of the groups that are on disk; each begins at its checkpoint. */
  constructor(log: Log, settings: readonly Settings[] = []) {
    this.#log = log
    for (const one of settings) this.#put(new Group(log, one))
    log.follow((record) => {
      for (const group of this.#groups.values()) group.onAppend(record)
    }, this.#stopped.signal)
    const timer = setInterval(() => {
      for (const group of this.#groups.values()) group.tick(Date.now())
    }, TICK_MS)
    this.#stopped.signal.addEventListener('abort', () => clearInterval(timer), { once: true })
  }

  get all(): readonly Group[] {
    return [...this.#groups.values()]
  }

  find(source: string, group: string): Group | undefined {
    return this.#groups.get(`${source}::${group}`)
  }

  create(settings: Settings): void {
    this.#put(new Group(this.#log, settings))
    this.#save()
  }

  /** Every subscriber is dropped; the new settings go on at the checkpoint. */
  update(old: Group, settings: Settings): void {
    old.dropAll()
    this.create({ ...settings, filter: old.settings.filter })
  }

  delete(group: Group): void {
    this.#groups.delete(group.key)
    group.dropAll()
    deleteStreams(this.#log, group.key)
    this.#save()
  }

  /** The server has ended; what is in memory is gone with it. */
  stop(): void {
    this.#stopped.abort()
  }

  #put(group: Group): void {
    this.#groups.set(group.key, group)
  }

  #save(): void {
    saveConfiguration(this.#log, [...this.#groups.keys()])
  }
}
