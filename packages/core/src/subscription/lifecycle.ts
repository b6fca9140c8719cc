import { nextState, type SubscriptionSignal, type SubscriptionState } from './status.ts'

/** What has become of a subscription, or of several that follow each other. Every function here returns a new one. */
export interface Lifecycle {
  readonly state: SubscriptionState
  /**
   * - `open`: there is a subscription, or one is being made
   * - `between`: it was dropped, and another one is to follow
   * - `over`: no other one is to follow
   */
  readonly stage: 'open' | 'between' | 'over'
  /** The last drop that no subscription has been answered after. */
  readonly drop: Drop | undefined
  /** Since a drop, no event has come, nor was it live. */
  readonly isFailing: boolean
  /** Whether the server says itself when everything older was delivered. */
  readonly serverTells: boolean
}

interface Drop {
  readonly reason: string
  /** `undefined`: it came without one. */
  readonly error: unknown
}

export interface Step {
  readonly lifecycle: Lifecycle
  readonly news: readonly News[]
}

/** What operators, or the loop that subscribes again, have to be told of a step. */
export type News =
  | { readonly kind: 'entered'; readonly state: SubscriptionState }
  /** A drop to be counted. */
  | ({ readonly kind: 'dropped' } & Drop)
  /** A drop after which another subscription follows. */
  | ({ readonly kind: 'failed' } & Drop)
  | { readonly kind: 'recovered' }
  /** A drop after which none follows. */
  | ({ readonly kind: 'lost' } & Drop)
  | { readonly kind: 'over' }

export const STARTED: Lifecycle = {
  state: 'catching_up',
  stage: 'open',
  drop: undefined,
  isFailing: false,
  serverTells: false,
}

/** Its server has accepted it. */
export function confirmed(lifecycle: Lifecycle): Step {
  if (lifecycle.state !== 'dropped' || lifecycle.stage !== 'open') return same(lifecycle)
  return enter({ ...lifecycle, drop: undefined }, 'resume')
}

export function serverSaid(lifecycle: Lifecycle, phase: 'caught_up' | 'fell_behind'): Step {
  return then(confirmed({ ...lifecycle, serverTells: true }), (answered) => enter(answered, phase))
}

/** What readings of the head show. Where the server tells it, that is the truth. */
export function headSaid(lifecycle: Lifecycle, phase: 'caught_up' | 'fell_behind'): Step {
  return lifecycle.serverTells ? same(lifecycle) : enter(lifecycle, phase)
}

/** What the server says of the group that the subscription belongs to. */
export function groupSaid(lifecycle: Lifecycle, isLive: boolean): Step {
  return enter(lifecycle, isLive ? 'caught_up' : 'fell_behind')
}

/** An event was handed over: whatever was wrong is over. */
export function eventCame(lifecycle: Lifecycle): Step {
  if (!lifecycle.isFailing || lifecycle.stage !== 'open') return same(lifecycle)
  return then(confirmed(lifecycle), recover)
}

/** `isFollowed`: whether another subscription is to be made. */
export function dropped(lifecycle: Lifecycle, drop: Drop, isFollowed: boolean): Step {
  if (lifecycle.stage !== 'open') return same(lifecycle)
  // One that was never answered, after a drop, is no drop of its own.
  const isCounted = !isFollowed || lifecycle.state !== 'dropped'
  const counted: Step = {
    lifecycle: { ...lifecycle, stage: isFollowed ? 'between' : 'over', drop, isFailing: isFollowed },
    news: isCounted ? [{ kind: 'dropped', ...drop }] : [],
  }
  const entered = then(counted, (each) => enter(each, 'drop'))
  const news: readonly News[] = isFollowed
    ? [{ kind: 'failed', ...drop }]
    : [{ kind: 'lost', ...drop }, { kind: 'over' }]
  return { ...entered, news: [...entered.news, ...news] }
}

/** Its consumer has left this subscription. Once that was dropped, nothing comes of it. */
export function left(lifecycle: Lifecycle): Step {
  return lifecycle.stage === 'open' ? ended(lifecycle, 'end') : same(lifecycle)
}

/** `give_up`: the consumer leaves all of it, and wants no other subscription. */
export function ended(lifecycle: Lifecycle, by: 'end' | 'give_up'): Step {
  if (lifecycle.stage === 'over') return same(lifecycle)
  const entered = enter({ ...lifecycle, stage: 'over' }, by)
  return { ...entered, news: [...entered.news, { kind: 'over' }] }
}

/** Another subscription is being made. */
export function another(lifecycle: Lifecycle): Step {
  if (lifecycle.stage === 'over') return same(lifecycle)
  return same({ ...lifecycle, stage: 'open', serverTells: false })
}

function enter(lifecycle: Lifecycle, signal: SubscriptionSignal): Step {
  const state = nextState(lifecycle.state, signal)
  if (state === lifecycle.state) return same(lifecycle)
  const entered: Step = { lifecycle: { ...lifecycle, state }, news: [{ kind: 'entered', state }] }
  return state === 'live' ? then(entered, recover) : entered
}

function recover(lifecycle: Lifecycle): Step {
  if (!lifecycle.isFailing) return same(lifecycle)
  return { lifecycle: { ...lifecycle, isFailing: false }, news: [{ kind: 'recovered' }] }
}

function then(step: Step, following: (lifecycle: Lifecycle) => Step): Step {
  const { lifecycle, news } = following(step.lifecycle)
  return { lifecycle, news: [...step.news, ...news] }
}

function same(lifecycle: Lifecycle): Step {
  return { lifecycle, news: NONE }
}

const NONE: readonly News[] = []
