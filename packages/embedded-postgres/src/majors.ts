/** The package version that holds each major's binaries. The newest is part of the default install. */
export const VERSIONS = {
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
  18: '18.4.0-beta.17',
} as const

export type Major = keyof typeof VERSIONS

export const DEFAULT_MAJOR: Major = 18

export const MAJORS: readonly Major[] = [14, 15, 16, 17, 18]

export function isMajor(value: number): value is Major {
  return value in VERSIONS
}
