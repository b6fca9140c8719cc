/** Gives `target` a property of its own. Not enumerable, as methods are not. */
export function own(target: object, key: PropertyKey, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, configurable: true, enumerable: false })
}
