// The API's codes in the reviewer's words. A code this page does not know is shown as it is, never hidden.

const KINDS: Record<string, string> = {
  ID_FRONT: '居民身份证（人像面）',
  ID_BACK: '居民身份证（国徽面）',
  TEMP_ID: '临时居民身份证',
  HKMO_PERMIT: '往来港澳通行证',
  TAIWAN_PERMIT: '往来台湾通行证',
  TAIWAN_COMPATRIOT: '台湾居民来往大陆通行证',
  PASSPORT: '护照（资料页）',
  HOUSEHOLD_HEAD: '户口簿（首页）',
  HOUSEHOLD_MEMBER: '户口簿（常住人口登记卡）',
  DEED_OLD: '房屋所有权证',
  DEED_NEW: '不动产权证书',
  BUSINESS_LICENCE: '营业执照',
  OTHER: '其他材料',
}

/** Every kind, to choose from when the machine took a page for another. */
export const KIND_CHOICES = Object.entries(KINDS).map(([value, label]) => ({ value, label }))

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
  check_digits: '机读码校验位',
  organisation_code: '组织机构代码校验位',
  birth_date_exists: '号码中的出生日期存在',
  matches_number: '与证件号码相符',
  matches_mrz: '与机读码相符',
  from_mrz: '取自机读码',
  repaired_uniquely: '机读码修复唯一',
  division: '行政区划代码存在',
  same_province: '省份前后一致',
  office: '签发机关名称',
  parts_add_up: '分项面积之和等于总面积',
  pairs: '分项数目一致',
  area: '面积大小合理',
  floor_exists: '所在层不超过总层数',
  date_exists: '日期存在',
  dates_exist: '起止日期存在',
  ends_later: '截止日期晚于起始日期',
  span: '有效期年限合规',
  not_before_established: '不早于成立日期',
  before_new_deeds: '早于统一登记启用日',
  since_2015: '不早于 2015 年',
  vocabulary: '用语在规定范围内',
}

/** Why a page came to a person, in a word; the sentence behind it is for the merchant. */
const FLAGS: Record<string, string> = {
  BLURRED: '模糊',
  DARK: '过暗',
  GLARE: '反光',
  TOO_SMALL: '尺寸过小',
  CUT_OFF: '边缘裁切',
  PHOTOCOPY: '疑似复印件',
  SCREEN_RECAPTURE: '疑似翻拍',
  HAS_WATERMARK: '有水印',
  SEAL_OVER_TEXT: '印章压字',
  PARTLY_OCCLUDED: '局部遮挡',
  OUT_OF_FRAME: '未完整入镜',
  EDITED: '疑似修改',
  SEVERAL_DOCUMENTS: '多份证件',
  SPECIMEN_NOT_ALLOWED: '样本证件',
  KIND_MISMATCH: '类型不符',
  KIND_UNCERTAIN: '类型存疑',
  FIELD_UNREADABLE: '未能识别',
  CHECK_FAILED: '校验不通过',
  LOW_CONFIDENCE: '识别不确定',
  CLAIM_MISSING: '未填写',
  LICENCE_EXPIRED: '执照过期',
  DOCUMENT_EXPIRED: '证件过期',
  PAGE_UNREADABLE: '整页难辨',
  WRONG_SIDE: '传错一面',
  STAGE_FAILED: '识别未完成',
  IMAGE_UNREADABLE: '图片损坏',
}

export function flagLabel(code: string): string {
  return FLAGS[code] ?? (code.endsWith('_DIFFERS') ? '填写不一致' : code)
}

/** What two pairs of eyes mean for whoever opens the task; null where one person decides. */
export function eyesNotice(task: { eyes: number; opinions: number }): string | null {
  if (task.eyes < 2) return null
  if (task.opinions === 0) return '高风险：须两人独立审核且意见一致，您是第一位。'
  if (task.opinions === 1) return '高风险：已有一位同事审核，请独立判断，您是第二位。'
  return '高风险：前两位意见不一致，由您作出最终裁定。'
}

export function kindLabel(kind: string | null): string {
  return kind === null ? '证件' : (KINDS[kind] ?? kind)
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
