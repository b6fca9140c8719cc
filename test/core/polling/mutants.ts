export interface LifecycleMutant {
  readonly name: string
  readonly file:
    | 'lifecycle'
    | 'lifecycle-poll'
    | 'lifecycle-rest'
    | 'lifecycle-failure'
    | 'lifecycle-standing'
  readonly replace: string
  readonly by: string
}

/** The agent's decisions with one of them changed, which a random history must notice. */
export const LIFECYCLE_MUTANTS: readonly LifecycleMutant[] = [
  {
    name: 'ignores a doubt',
    file: 'lifecycle-poll',
    replace: 'doubted === known?.reading.incarnation',
    by: 'false',
  },
  {
    name: 'does not open the source again after a doubt',
    file: 'lifecycle-poll',
    replace: 'run: holds?.run,',
    by: 'run: poll.run,',
  },
  {
    name: 'forgets at each doubt, whatever it is of',
    file: 'lifecycle-poll',
    replace: ' && doubted === known?.reading.incarnation',
    by: '',
  },
  {
    name: 'keeps what was learned in another incarnation',
    file: 'lifecycle-poll',
    replace: 'goOn({ ...standing, known: undefined }, anew)',
    by: 'goOn(standing, anew)',
  },
  {
    name: 'does not open the source again in another incarnation',
    file: 'lifecycle-poll',
    replace: 'run: undefined, isAnew: true',
    by: 'isAnew: true',
  },
  {
    name: 'polls without stored progress',
    file: 'lifecycle-poll',
    replace: 'if (previous === undefined && stored === undefined) return RECALL',
    by: '',
  },
  {
    name: 'does not say what was passed on before',
    file: 'lifecycle-poll',
    replace: 'const former = previous === undefined ? newest : undefined',
    by: 'const former = undefined',
  },
  {
    name: 'begins a poll with nothing, though something is known',
    file: 'lifecycle-poll',
    replace: 'const holds = isDoubted ? undefined : known',
    by: 'const holds = undefined',
  },
  {
    name: 'uses a reading before its skips are recorded',
    file: 'lifecycle-poll',
    replace: "standing: { ...standing, phase: 'recording', poll: { ...standing.poll, reading } },",
    by: "standing: { ...standing, phase: 'recording', known: { reading }, poll: { ...standing.poll, reading } },",
  },
  {
    name: 'never uses a reading whose skips were recorded',
    file: 'lifecycle',
    replace: 'recording: { ...WORK, recorded }',
    by: 'recording: WORK',
  },
  {
    name: 'saves settled again and again',
    file: 'lifecycle-poll',
    replace: 'saved: known && { reading: known.reading, atMs: context.nowMs },',
    by: '',
  },
  {
    name: 'saves settled twice a second',
    file: 'lifecycle-standing',
    replace: 'SAVE_SETTLED_EVERY_MS = 1_000',
    by: 'SAVE_SETTLED_EVERY_MS = 500',
  },
  {
    name: 'forgets at a failed poll',
    file: 'lifecycle-failure',
    replace: "      phase: 'resting',\n",
    by: "      phase: 'resting',\n      known: undefined,\n",
  },
  {
    name: 'keeps its mark after late events',
    file: 'lifecycle-failure',
    replace: 'halt({ ...standing, known: undefined }, error, told)',
    by: 'halt(standing, error, told)',
  },
  {
    name: 'does not back off',
    file: 'lifecycle-failure',
    replace: 'deafMs: backOffMs(failuresInARow)',
    by: 'deafMs: 0',
  },
  {
    name: 'does not say that it has started where its first poll fails',
    file: 'lifecycle-failure',
    replace: "isFirst ? [told, { kind: 'started' }, wait] : [told, wait]",
    by: '[told, wait]',
  },
  {
    name: 'says at each poll that it has started',
    file: 'lifecycle-rest',
    replace: 'if (isFirstPoll(standing))',
    by: 'if (standing.poll.number > 0)',
  },
  {
    name: 'polls at each wake-up',
    file: 'lifecycle-rest',
    replace: 'apartMs: apartMs(cadence, spacedToMs, nowMs)',
    by: 'apartMs: 0',
  },
  {
    name: 'does not count its polls',
    file: 'lifecycle-poll',
    replace: 'spacedToMs: spaced }',
    by: 'spacedToMs: before.spacedToMs }',
  },
  {
    name: 'shows a failure that is over',
    file: 'lifecycle-poll',
    replace: "shown: { state: 'polling', error: undefined },",
    by: 'shown: standing.shown,',
  },
  {
    name: 'goes on after its end',
    file: 'lifecycle',
    replace: '    recalled: stop,\n    read: stop,\n',
    by: '    recalled: stop,\n    read,\n',
  },
  {
    name: 'does not end where the poll at its end fails',
    file: 'lifecycle',
    replace: '    failed: stop,\n',
    by: '',
  },
  {
    name: 'waits for ever for a poll that does not end',
    file: 'lifecycle',
    replace: '    given_up: stop,\n',
    by: '',
  },
  {
    name: 'lets the process end where it is halted',
    file: 'lifecycle',
    replace: 'halted: { ...REST, due: stayHalted }',
    by: 'halted: REST',
  },
]
