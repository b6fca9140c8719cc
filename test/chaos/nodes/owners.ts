/** A batch that was committed, and what the row of its unit said of the owner then. */
export interface Commit {
  readonly projection: string
  readonly version: number
  readonly slotFrom: number
  readonly slotTo: number
  readonly fence: bigint
  /** `null`: nobody had the unit. */
  readonly owner: string | null
  readonly process: string
  /** Those of its events. */
  readonly slots: readonly number[]
}

/** What speaks against one owner at a time, of all commits in their order: nothing, where it is empty. */
export function commitsOfOthers(commits: readonly Commit[]): readonly string[] {
  const seen = new Map<string, Map<string, Commit>>()
  const wrong: string[] = []
  for (const commit of commits) {
    const { projection, version, slotFrom, slotTo, fence, owner, process, slots } = commit
    const told = (what: string): void => {
      wrong.push(
        `${projection}@${version} ${slotFrom}-${slotTo}, fence ${fence}, process ${process}: ${what}`,
      )
    }
    const units = seen.get(`${projection}@${version}`) ?? new Map<string, Commit>()
    seen.set(`${projection}@${version}`, units)
    if (owner !== null && owner !== process) told(`its owner was ${owner}`)
    if (slots.some((slot) => slot < slotFrom || slot > slotTo)) told(`it handled the slots ${slots}`)
    // After other shards were made of them, the same slots are another unit's.
    for (const before of units.values()) {
      if (before.slotFrom > slotTo || slotFrom > before.slotTo) continue
      if (before.fence > fence) told(`${before.process} had committed with fence ${before.fence} before`)
      if (before.fence === fence && before.process !== process) told(`${before.process} has that fence too`)
    }
    const unit = `${slotFrom}-${slotTo}`
    const newest = units.get(unit)
    if (newest === undefined || newest.fence <= fence) units.set(unit, commit)
  }
  return wrong
}
