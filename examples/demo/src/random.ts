export function chance(share: number): boolean {
  return Math.random() < share
}

/** A whole number, both ends included. */
export function between(least: number, most: number): number {
  return least + Math.floor(Math.random() * (most - least + 1))
}

/** Short ones often, long ones rarely: as likely from 50 to 100 as from 500 to 1000. */
export function mostlyShort(least: number, most: number): number {
  return least * (most / least) ** Math.random()
}

export function oneOf<T>(items: readonly [T, ...T[]]): T {
  return items[between(0, items.length - 1)] ?? items[0]
}

/** As often as its weight says. */
export function weighted<T extends { readonly weight: number }>(items: readonly [T, ...T[]]): T {
  let left = Math.random() * items.reduce((sum, { weight }) => sum + weight, 0)
  for (const item of items) {
    left -= item.weight
    if (left < 0) return item
  }
  return items[0]
}
