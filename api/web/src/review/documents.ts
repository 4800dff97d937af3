// What the review workbench asks of the API, and the shapes of its answers.
import { document, type UserError } from '../shared/client'

export interface Viewer {
  id: string
  role: string
  displayName: string
}

export interface Reason {
  code: string
  field: string | null
  message: string
}

export interface ReviewField {
  name: string
  label: string
  claimed: string | null
  read: string | null
  /** What the second reader read instead. */
  second: string | null
  /** Whether something of the values is hidden. */
  masked: boolean
  /** Where the whole values differ, also while they are masked. */
  diff: { typed: number[]; read: number[]; edits: number } | null
  nearName: boolean
  uncertain: { position: number; confidence: number; alternatives: { character: string; confidence: number }[] }[]
  /** Null where nothing was typed to compare with. */
  outcome: string | null
  confidence: number | null
  /** Corners in pixels of the upright image. */
  quad: number[][] | null
  checks: { name: string; passed: boolean }[]
}

/** A review task (审核任务) as it stands in the queue. */
export interface QueueTask {
  id: string
  status: string
  dueAt: string
  /** Whether this reviewer holds it. */
  mine: boolean
  leaseUntil: string | null
  document: { kind: string | null }
  risk: string
  /** How many people have to agree. */
  eyes: number
  /** How many have said what they think. */
  opinions: number
  reasons: Reason[]
}

export interface ReviewTask extends QueueTask {
  imageUrl: string | null
  sealRemovedUrl: string | null
  imageWidth: number
  imageHeight: number
  fields: ReviewField[]
}

export interface ReasonCode {
  code: string
  label: string
  decision: string
}

export type Decision = 'APPROVE' | 'REJECT'

const QUEUE_PARTS = `fragment QueueParts on ReviewTask {
  id
  status
  dueAt
  mine
  leaseUntil
  document { kind }
  risk
  eyes
  opinions
  reasons { code field message }
}`

const TASK_PARTS = `${QUEUE_PARTS}
fragment TaskParts on ReviewTask {
  ...QueueParts
  imageUrl
  sealRemovedUrl
  imageWidth
  imageHeight
  fields {
    name
    label
    claimed
    read
    second
    masked
    diff { typed read edits }
    nearName
    uncertain { position confidence alternatives { character confidence } }
    outcome
    confidence
    quad
    checks { name passed }
  }
}`

const USER_ERRORS = 'userErrors { code message field retryable }'

interface LoginPayload {
  accessToken: string | null
  expiresAt: string | null
  viewer: Viewer | null
  userErrors: UserError[]
}

export const LOGIN = document<{ login: LoginPayload }, { input: { code: string } }>(
  `mutation Login($input: LoginInput!) {
  login(input: $input) { accessToken expiresAt viewer { id role displayName } ${USER_ERRORS} }
}`,
)

export const LOGOUT = document<{ logout: { userErrors: UserError[] } }, Record<string, never>>(
  `mutation Logout { logout { ${USER_ERRORS} } }`,
)

export interface QueuePage {
  nodes: QueueTask[]
  pageInfo: { hasNextPage: boolean; endCursor: string | null }
}

export const QUEUE = document<{ reviewQueue: QueuePage }, { first: number; after: string | null }>(
  `query ReviewQueue($first: Int!, $after: String) {
  reviewQueue(first: $first, after: $after) {
    nodes { ...QueueParts }
    pageInfo { hasNextPage endCursor }
  }
}\n${QUEUE_PARTS}`,
)

export const REASON_CODES = document<{ reviewReasonCodes: ReasonCode[] }, Record<string, never>>(
  `query ReviewReasonCodes { reviewReasonCodes { code label decision } }`,
)

export const TASK = document<{ node: ReviewTask | Record<string, never> | null }, { id: string }>(
  `query ReviewTask($id: ID!) { node(id: $id) { ...TaskParts } }\n${TASK_PARTS}`,
)

interface TaskPayload {
  task: ReviewTask | null
  userErrors: UserError[]
}

export const CLAIM = document<{ reviewClaim: TaskPayload }, { input: { taskId: string } }>(
  `mutation ReviewClaim($input: ReviewClaimInput!) {
  reviewClaim(input: $input) { task { ...TaskParts } ${USER_ERRORS} }
}\n${TASK_PARTS}`,
)

export const RENEW = document<{ reviewRenew: { task: { leaseUntil: string | null } | null; userErrors: UserError[] } }, { input: { taskId: string } }>(
  `mutation ReviewRenew($input: ReviewRenewInput!) { reviewRenew(input: $input) { task { leaseUntil } ${USER_ERRORS} } }`,
)

export const REVEAL = document<{ reviewReveal: TaskPayload }, { input: { taskId: string; fields: string[] } }>(
  `mutation ReviewReveal($input: ReviewRevealInput!) {
  reviewReveal(input: $input) { task { ...TaskParts } ${USER_ERRORS} }
}\n${TASK_PARTS}`,
)

export interface CorrectInput {
  taskId: string
  kind: string | null
  values: { field: string; value: string }[]
  idempotencyKey: string
}

export const CORRECT = document<{ reviewCorrect: { userErrors: UserError[] } }, { input: CorrectInput }>(
  `mutation ReviewCorrect($input: ReviewCorrectInput!) { reviewCorrect(input: $input) { ${USER_ERRORS} } }`,
)

export const RELEASE = document<{ reviewRelease: { userErrors: UserError[] } }, { input: { taskId: string } }>(
  `mutation ReviewRelease($input: ReviewReleaseInput!) { reviewRelease(input: $input) { ${USER_ERRORS} } }`,
)

export interface DecideInput {
  taskId: string
  decision: Decision
  reasonCode: string | null
  note: string | null
  /** The same for every try of one decision. */
  idempotencyKey: string
}

export const DECIDE = document<{ reviewDecide: { task: { status: string } | null; userErrors: UserError[] } }, { input: DecideInput }>(
  `mutation ReviewDecide($input: ReviewDecideInput!) { reviewDecide(input: $input) { task { status } ${USER_ERRORS} } }`,
)
