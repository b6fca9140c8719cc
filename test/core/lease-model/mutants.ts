import type { Change } from './subject.ts'
import type { Harm } from './world.ts'

interface Mutant {
  /** The rule that is dropped. */
  readonly name: string
  /** What may come of it. */
  readonly harms: readonly Harm[]
  readonly changes: readonly Change[]
}

const lease = (replace: string, by: string): Change => ({ file: 'lease', replace, by })
const view = (replace: string, by: string): Change => ({ file: 'view', replace, by })
const store = (replace: string, by: string): Change => ({ file: 'store', replace, by })

const TAKEN: Harm = 'a unit was taken from a node that could trust its lease'
const NOT_NEWEST: Harm = 'a checkpoint moved under a fence that was not the newest'
const NOBODY: Harm = 'nobody works on a unit, or not who should'
const NEVER: Harm = 'it never settles'

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'trust counts from the answer',
    harms: ['a node trusted its lease for longer than it lasts'],
    changes: [lease('askedAtMs + leaseMs)', 'nowMs + leaseMs)')],
  },
  {
    name: 'a node goes on when its trust has ended',
    harms: ['a node went on without a lease it could trust'],
    changes: [
      lease('if (nowMs < standing.trustedUntilMs || standing.works.size === 0) return', 'if (true) return'),
    ],
  },
  {
    name: 'a node believes its memory, not the rows',
    harms: ['a node believed its memory, not the rows'],
    changes: [lease('if (own.get(unit) === fence) continue', 'if (own !== undefined) continue')],
  },
  {
    name: 'a claim whose answer was lost is forgotten',
    harms: [NOBODY, NEVER],
    changes: [
      lease('for (const [unit, fence] of own) {', 'for (const [unit, fence] of own.size < 0 ? own : []) {'),
    ],
  },
  {
    name: 'one look at a presence that is gone is enough',
    harms: [TAKEN],
    changes: [view('if (askedAtMs >= sinceMs + SUSPECT_AGAIN_MS) gone', 'gone')],
  },
  {
    name: 'a presence that is not known counts as gone',
    harms: [TAKEN, NEVER, NOBODY],
    changes: [
      store(
        "if (presence === undefined) return { is: 'unknown' }",
        "if (presence === undefined) return { is: 'gone', which: '' }",
      ),
      store(
        'return presence?.isHere === false && presence.which === which',
        'return presence?.isHere !== true',
      ),
      view('if (askedAtMs >= sinceMs + SUSPECT_AGAIN_MS) gone', 'gone'),
    ],
  },
  {
    name: 'the second look need not be of the same presence',
    harms: [TAKEN],
    changes: [
      store(
        'return presence?.isHere === false && presence.which === which',
        'return presence?.isHere === false',
      ),
      view('known?.which === which ? known.sinceMs : nowMs', 'known?.sinceMs ?? nowMs'),
    ],
  },
  {
    name: 'a claim does not look whether the owner is alive',
    harms: [TAKEN],
    changes: [
      store('if (owner !== undefined && this.#isAlive(owner) && !this.#isGone(owner, gone)) return []', ''),
      lease(
        'wanted.get(unit) === node && owner !== node && !isAlive(owner)',
        'wanted.get(unit) === node && owner !== node',
      ),
    ],
  },
  {
    name: 'a claim does not compare the fence',
    harms: [TAKEN, NOBODY, NEVER],
    changes: [
      store('fence !== seen || this', 'this'),
      store('if (owner !== undefined && this.#isAlive(owner) && !this.#isGone(owner, gone)) return []', ''),
    ],
  },
  {
    name: 'the fence does not grow',
    harms: ['two owners had the same fence'],
    changes: [store('fence + 1n', 'fence')],
  },
  {
    name: 'a checkpoint moves under any fence',
    harms: [NOT_NEWEST],
    changes: [store('return this.#of(key).fence === fence', 'return true')],
  },
  {
    name: 'a node is given what it has no handler of',
    harms: ['a unit was given to a node that has no handler of it'],
    changes: [view('(units.has(unit) || units.has(versionKeyOf(unit))) && ', '')],
  },
  {
    name: 'a unit stays with a node that cannot work on it',
    harms: [NOBODY, NEVER],
    changes: [view(' && !unable.has(unit)', '')],
  },
  {
    name: 'a unit is given back while it is worked on',
    harms: ['a unit was given back while it was worked on', NOBODY, NEVER],
    changes: [
      lease('if (works.has(unit)) continue', 'if (wanted.get(unit) === node && works.has(unit)) continue'),
    ],
  },
  {
    name: 'what a node has does not count when units are given out',
    harms: [NEVER, NOBODY, 'more units moved than had to'],
    changes: [view('held: new Map(held)', 'held: new Map()')],
  },
  {
    name: 'a release that was not answered is not asked for again',
    harms: [NEVER, NOBODY],
    changes: [lease('} else toRelease.set(unit, fence)', '}')],
  },
]
