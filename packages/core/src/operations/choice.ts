import { OperationRefusedError } from '../kernel/errors.ts'
import type { ControlledUnit } from '../ports/control.ts'
import { bySlots } from '../ports/slot.ts'
import { type Unit, unitName, versionName } from '../ports/unit.ts'

interface Wanted {
  readonly projection: string
  readonly version: number | undefined
  /** Of the units that are there; `undefined`: of whatever source. */
  readonly source: string | undefined
}

/** The shards of the version that is meant, of the units that there are, the lowest slots first. Pure. */
export function choose<U extends { readonly unit: Unit }>(
  units: readonly U[],
  { projection, version, source }: Wanted,
): readonly [U, ...U[]] {
  const ofName = units.filter(({ unit }) => unit.projection === projection)
  const [first, ...others] = ofName
    .filter(({ unit }) => version === undefined || unit.version === version)
    .sort((a, b) => bySlots(a.unit.slots, b.unit.slots))
  if (first !== undefined && others.every(({ unit }) => unit.version === first.unit.version)) {
    return [first, ...others]
  }
  if (ofName.length === 0) {
    const names = [...new Set(units.map(({ unit: { projection: name } }) => JSON.stringify(name)))].sort()
    const of = source === undefined ? '' : ` of the source "${source}"`
    throw new OperationRefusedError(
      projection,
      `it has no checkpoint${of}; ${names.length === 0 ? 'there is none at all' : `there are ${names.join(', ')}`}`,
    )
  }
  const versions = [...new Set(ofName.map(({ unit: { version: each } }) => each))]
    .sort((a, b) => a - b)
    .join(', ')
  throw new OperationRefusedError(
    projection,
    version === undefined
      ? `it has several units, of the versions ${versions}; say which version is meant`
      : `it has no version ${version}; there is ${versions}`,
  )
}

/** Throws where a projection is in shards: this is not done for several at once. */
export function requireOneShard<U extends { readonly unit: Unit }>(
  [unit, ...others]: readonly [U, ...U[]],
  operation: string,
  instead: string,
): U {
  if (others.length === 0) return unit
  throw new OperationRefusedError(
    versionName(unit.unit),
    `it is in ${others.length + 1} shards, and a ${operation} of them at once is not possible yet; ${instead}`,
  )
}

/** Throws where a projection that is to be in shards has another version than the first, or several. */
export function requireOnlyVersion(projection: string, versions: readonly number[]): void {
  if (versions.length === 1 && versions[0] === 1) return
  const all = versions.toSorted((a, b) => a - b).join(', ')
  throw new OperationRefusedError(
    projection,
    `it has the versions ${all}, and versions in shards cannot be switched yet; only a version 1 that is alone is cut`,
  )
}

/** Throws where readers would be left with versions of which none is live. */
export function requireNoneLeft(
  units: readonly ControlledUnit[],
  { unit: forgotten, role }: ControlledUnit,
): void {
  const others = units.filter(({ unit }) => unit.version !== forgotten.version)
  if (role !== 'live' || others.length === 0) return
  const versions = others.map(({ unit }) => unit.version).join(', ')
  throw new OperationRefusedError(
    unitName(forgotten),
    `it is the live version, and there are others: ${versions}; switch to one of them first, or forget them`,
  )
}

/** Where each stands, for a switch that has not been done yet. */
export function describeVersions(units: readonly ControlledUnit[]): string {
  const each = [...units]
    .sort((a, b) => a.unit.version - b.unit.version)
    .map(({ unit, role, desired, position }) => {
      const state = desired === 'paused' ? `${role}, paused` : role
      return `version ${unit.version} (${state}) is at ${position ?? 'no position yet'}`
    })
  return `: ${each.join(', ')}`
}
