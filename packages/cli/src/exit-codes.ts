/** How the program ends; stable, for scripts. */
export const EXIT = {
  done: 0,
  notReached: 1,
  usage: 2,
  unreachable: 3,
  unusable: 4,
  refused: 5,
  bug: 70,
  interrupted: 130,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

export const EXIT_MEANINGS: Readonly<Record<keyof typeof EXIT, string>> = {
  done: 'All is well, or it is done, or it was so already.',
  notReached: 'Something is wrong, or what was asked for was not reached in time.',
  usage: 'The command, an option or tidemark.config is not right. Nothing was changed.',
  unreachable: 'The database cannot be reached, lets nobody in, or does not answer.',
  unusable: 'The database answers, and a right, a table or a condition is missing.',
  refused: 'The operation does not fit what there is. Nothing was changed.',
  bug: 'An error that this program does not know. Please report it.',
  interrupted: 'Ctrl-C.',
}
