import { fork, type Serializable } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A program in a process of its own, so that its event loop is not that of what is measured. */
export interface Child {
  /** Has one answer. Rejects where the process ends without it. */
  ask<Answer>(question: Serializable): Promise<Answer>
  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void
  /** Resolves when the process has ended. */
  end(): Promise<void>
}

/** @param program - a file of `bench`, without its ending, that calls `answerQuestions` */
export function startChild(program: string): Child {
  const child = fork(fileURLToPath(new URL(`../${program}.js`, import.meta.url)))
  const exited = once(child, 'exit')
  return {
    ask: async <Answer>(question: Serializable) => {
      const answered = once(child, 'message')
      child.send(question)
      const [answer] = await Promise.race([
        answered,
        exited.then(([code]) => {
          throw new Error(`${program} has ended with ${String(code)} before it answered`)
        }),
      ])
      return answer as Answer
    },
    signal: (signal) => void child.kill(signal),
    end: async () => {
      if (child.connected) child.disconnect()
      await exited
    },
  }
}

/** Of the program itself: ends it where that fails. */
export function answerQuestions<Question>(answer: (question: Question) => Promise<Serializable>): void {
  process.on('message', (question: Question) => {
    void answer(question).then((answered) => process.send?.(answered))
  })
}
