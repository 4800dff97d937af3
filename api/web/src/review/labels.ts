// The API's codes in the reviewer's words. A code this page does not know is shown as it is, never hidden.

const KINDS: Record<string, string> = {
  ID_FRONT: '居民身份证（人像面）',
  DEED_NEW: '不动产权证书',
  BUSINESS_LICENCE: '营业执照',
}

export type Tone = 'success' | 'warning' | 'danger' | 'info'

const OUTCOMES: Record<string, { label: string; tone: Tone }> = {
  MATCH: { label: '一致', tone: 'success' },
  MATCH_AFTER_NORMALISATION: { label: '规范后一致', tone: 'success' },
  DIFFER: { label: '不一致', tone: 'danger' },
  UNREADABLE: { label: '无法识别', tone: 'warning' },
  ABSENT: { label: '未找到', tone: 'warning' },
}

/** The rules a value is held against by itself, whatever was typed. */
const CHECKS: Record<string, string> = {
  structure: '编号结构',
  check_digit: '校验位',
  organisation_code: '组织机构代码校验位',
  birth_date_exists: '号码中的出生日期存在',
  matches_number: '与证件号码相符',
  parts_add_up: '分项面积之和等于总面积',
  date_exists: '日期存在',
  dates_exist: '起止日期存在',
  not_before_established: '不早于成立日期',
}

export function kindLabel(kind: string | undefined): string {
  return kind === undefined ? '证件' : (KINDS[kind] ?? kind)
}

export function checkLabel(check: { name: string; passed: boolean }): string {
  return `${CHECKS[check.name] ?? check.name}：${check.passed ? '通过' : '不通过'}`
}

export function outcomeLabel(outcome: string | null): { label: string; tone: Tone } {
  if (outcome === null) return { label: '未比对', tone: 'info' }
  return OUTCOMES[outcome] ?? { label: outcome, tone: 'info' }
}

/** A field that the reviewer should look at first: it differs, was not read, or fails a check. */
export function needsLook(field: { outcome: string | null; checks: { passed: boolean }[] }): boolean {
  const doubtful = field.outcome !== null && outcomeLabel(field.outcome).tone !== 'success'
  return doubtful || field.checks.some((check) => !check.passed)
}
