import { OperationRefusedError } from '../kernel/errors.ts'
import type { ControlledUnit } from '../ports/control.ts'
import { type Unit, unitName } from '../ports/unit.ts'

interface Wanted {
  readonly projection: string
  readonly version: number | undefined
  /** Of the units that are there; `undefined`: of whatever source. */
  readonly source: string | undefined
}

/** The unit that is meant, of those that there are. Pure. */
export function choose<U extends { readonly unit: Unit }>(
  units: readonly U[],
  { projection, version, source }: Wanted,
): U {
  const ofName = units.filter(({ unit }) => unit.projection === projection)
  const chosen = ofName.filter(({ unit }) => version === undefined || unit.version === version)
  const [unit] = chosen
  if (unit !== undefined && chosen.length === 1) return unit
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
    version === undefined || chosen.length > 1
      ? `it has several units, of the versions ${versions}; say which version is meant`
      : `it has no version ${version}; there is ${versions}`,
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
