import type { JSX } from 'preact'
import type { DoctorAnswer } from '../../src/protocol.ts'
import { useAnswer } from '../live/answer.ts'
import { Answered } from '../parts/answered.tsx'
import { Page } from '../parts/page.tsx'
import { State } from '../parts/state.tsx'
import type { Tone } from '../pure/states.ts'
import { duration } from '../pure/words.ts'

type Finding = DoctorAnswer['findings'][number]

/** Whether server, tables and rights are fit; asked once, when the page is opened. */
export function DoctorPage(): JSX.Element {
  const asked = useAnswer<DoctorAnswer>('doctor', {}, 0)
  return (
    <Page title="Doctor">
      <Answered of={asked.value}>
        {(answer) => (
          <>
            <Findings findings={answer.findings} />
            <Transactions open={answer.openTransactions} />
            {answer.stores.length > 0 && (
              <section class="panel" aria-label="Stores">
                <h2>Tables of well-known stores</h2>
                <ul class="gaps">
                  {answer.stores.map(({ store, version, schema }) => (
                    <li key={`${store} ${schema}`}>
                      {store} {version ?? ''} <span class="muted">in the schema {schema}</span>
                    </li>
                  ))}
                </ul>
              </section>
            )}
          </>
        )}
      </Answered>
    </Page>
  )
}

const TONES: Readonly<Record<Finding['severity'], Tone>> = {
  problem: 'bad',
  warning: 'warn',
  unknown: 'warn',
  note: 'still',
  ok: 'good',
}
const RANK: readonly Finding['severity'][] = ['problem', 'warning', 'unknown', 'note', 'ok']

function Findings({ findings }: { readonly findings: readonly Finding[] }): JSX.Element {
  const sorted = findings.toSorted((a, b) => RANK.indexOf(a.severity) - RANK.indexOf(b.severity))
  const fit = sorted.filter(({ severity }) => severity === 'ok')
  const others = sorted.filter(({ severity }) => severity !== 'ok')
  return (
    <section class="panel" aria-label="Findings">
      <h2>What was found</h2>
      {others.length === 0 ? <p class="well">Nothing speaks against it.</p> : <Table findings={others} />}
      {fit.length > 0 && (
        <details>
          <summary>{fit.length} that are as they should be</summary>
          <Table findings={fit} />
        </details>
      )}
    </section>
  )
}

function Table({ findings }: { readonly findings: readonly Finding[] }): JSX.Element {
  return (
    <table class="blocks">
      <thead>
        <tr>
          <th scope="col">how it is</th>
          <th scope="col">about</th>
          <th scope="col">found</th>
          <th scope="col">to do</th>
        </tr>
      </thead>
      <tbody>
        {findings.map(({ code, severity, about, found, expected, toDo }) => (
          <tr key={`${code} ${about} ${found}`}>
            <td data-name="how it is">
              <span>
                <State is={severity} tone={TONES[severity]} />
              </span>
            </td>
            <td class="whole" data-name="about">
              {about}
            </td>
            <td data-name="found">
              <span>
                {found}
                {expected !== null && <p class="muted">expected: {expected}</p>}
              </span>
            </td>
            <td data-name="to do">{toDo ?? '–'}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Transactions({ open }: { readonly open: DoctorAnswer['openTransactions'] }): JSX.Element {
  return (
    <section class="panel" aria-label="Open transactions">
      <h2>Transactions that are open</h2>
      {open.length === 0 ? (
        <p class="well">None was open.</p>
      ) : (
        <ul class="gaps">
          {open.map(({ pid, who, openForMs, isIdle, holdsSequence }) => (
            <li key={`${pid ?? ''} ${who} ${openForMs}`}>
              <strong>{who}</strong> open for {duration(openForMs)}
              {isIdle && ', idle'}
              {holdsSequence && ', and holds the sequence: the mark waits for it'}
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}
