import type { Incident } from '../incident.ts'
import { deadLetters } from './dead-letters.ts'
import { deadlyEvent } from './deadly-event.ts'
import { forgottenPause } from './forgotten-pause.ts'
import { heldMark } from './held-mark.ts'
import { losingConsumer } from './losing-consumer.ts'
import { poison } from './poison.ts'
import { wrongReadModel } from './wrong-read-model.ts'

/** By their numbers. What they are, the person on call has to find. */
export const INCIDENTS: ReadonlyMap<string, Incident> = new Map([
  ['1', heldMark],
  ['2', poison],
  ['3', deadLetters],
  ['4', deadlyEvent],
  ['5', wrongReadModel],
  ['6', losingConsumer],
  ['7', forgottenPause],
])
