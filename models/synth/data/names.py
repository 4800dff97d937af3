"""Characters of names with their pinyin; the pairs of a character and its spelling stand side by side."""


def _pairs(text):
    words = text.split()
    return list(zip(words[::2], words[1::2]))


SURNAMES = _pairs("""王 WANG 李 LI 张 ZHANG 刘 LIU 陈 CHEN 杨 YANG 黄 HUANG 赵 ZHAO 吴 WU 周 ZHOU 徐 XU 孙 SUN 马 MA 朱 ZHU 胡 HU 郭 GUO
何 HE 高 GAO 林 LIN 罗 LUO 郑 ZHENG 梁 LIANG 谢 XIE 宋 SONG 唐 TANG 许 XU 韩 HAN 冯 FENG 邓 DENG 曹 CAO 彭 PENG 曾 ZENG 肖 XIAO 田 TIAN
董 DONG 袁 YUAN 潘 PAN 于 YU 蒋 JIANG 蔡 CAI 余 YU 杜 DU 叶 YE 程 CHENG 苏 SU 魏 WEI 吕 LYU 丁 DING 任 REN 沈 SHEN 姚 YAO 卢 LU 姜 JIANG
崔 CUI 钟 ZHONG 谭 TAN 陆 LU 汪 WANG 范 FAN 金 JIN 石 SHI 廖 LIAO 贾 JIA 夏 XIA 韦 WEI 付 FU 方 FANG 白 BAI 邹 ZOU 孟 MENG 熊 XIONG 秦 QIN
邱 QIU 江 JIANG 尹 YIN 薛 XUE 闫 YAN 段 DUAN 雷 LEI 侯 HOU 龙 LONG 史 SHI 陶 TAO 黎 LI 贺 HE 顾 GU 毛 MAO 郝 HAO 龚 GONG 邵 SHAO 万 WAN
欧阳 OUYANG 司马 SIMA 上官 SHANGGUAN 诸葛 ZHUGE 尉迟 YUCHI""")
GIVEN = _pairs("""伟 WEI 芳 FANG 娜 NA 敏 MIN 静 JING 丽 LI 强 QIANG 磊 LEI 军 JUN 洋 YANG 勇 YONG 艳 YAN 杰 JIE 娟 JUAN 涛 TAO 明 MING 超 CHAO
秀 XIU 霞 XIA 平 PING 刚 GANG 桂 GUI 英 YING 华 HUA 玉 YU 兰 LAN 建 JIAN 国 GUO 文 WEN 斌 BIN 宇 YU 浩 HAO 然 RAN 子 ZI 轩 XUAN 欣 XIN
怡 YI 梦 MENG 琪 QI 雨 YU 晨 CHEN 思 SI 远 YUAN 志 ZHI 鹏 PENG 俊 JUN 辉 HUI 海 HAI 燕 YAN 晓 XIAO 东 DONG 春 CHUN 梅 MEI 家 JIA 豪 HAO
嘉 JIA 慧 HUI 诗 SHI 涵 HAN 泽 ZE 睿 RUI 妍 YAN 彤 TONG 佳 JIA 毅 YI 博 BO 凯 KAI 瑞 RUI 萍 PING 红 HONG 波 BO 宁 NING 健 JIAN 一 YI 冬 DONG
云 YUN 莉 LI 帆 FAN 雪 XUE 琳 LIN 旭 XU 阳 YANG 楠 NAN 亮 LIANG 飞 FEI 永 YONG 成 CHENG 庆 QING 福 FU 生 SHENG 光 GUANG 天 TIAN 达 DA
安 AN 岩 YAN 中 ZHONG 茂 MAO 进 JIN 林 LIN 有 YOU 坚 JIAN 和 HE 彪 BIAO 诚 CHENG 先 XIAN 敬 JING 震 ZHEN 振 ZHEN 壮 ZHUANG 会 HUI""")
RARE = _pairs("""鑫 XIN 淼 MIAO 焱 YAN 垚 YAO 喆 ZHE 翀 CHONG 昉 FANG 琛 CHEN 婧 JING 煜 YU 祎 YI 珺 JUN 玥 YUE 赟 YUN 骁 XIAO 邈 MIAO 彧 YU 犇 BEN
堃 KUN 頔 DI 燚 YI 甯 NING 旻 MIN 晗 HAN 瀚 HAN 璟 JING 祺 QI 韡 WEI 麒 QI 昶 CHANG""")
MINORITY = [  # name, spelling, sex or "" for either, ethnicity
    ("阿卜杜拉·买买提", "ABUDULA·MAIMAITI", "男", "维吾尔"), ("古丽娜尔·艾合买提", "GULINAER·AIHEMAITI", "女", "维吾尔"),
    ("买买提江·吐尔逊", "MAIMAITIJIANG·TUERXUN", "男", "维吾尔"), ("帕提古丽·阿不都热依木", "PATIGULI·ABUDOUREYIMU", "女", "维吾尔"),
    ("扎西多吉", "ZHAXIDUOJI", "男", "藏"), ("次仁卓玛", "CIRENZHUOMA", "女", "藏"), ("格桑平措", "GESANGPINGCUO", "男", "藏"),
    ("巴特尔", "BATEER", "男", "蒙古"), ("乌云其木格", "WUYUNQIMUGE", "女", "蒙古"), ("叶尔江·哈力", "YEERJIANG·HALI", "男", "哈萨克"),
    ("吉克阿牛", "JIKEANIU", "男", "彝"), ("岩温罕", "YANWENHAN", "男", "傣"), ("玉香", "YUXIANG", "女", "傣"), ("爱新觉罗毓", "AIXINJUELUOYU", "", "满"),
]
ETHNICITIES = ["汉"] * 24 + ["回", "满", "壮", "苗", "土家", "彝", "侗", "瑶", "白", "哈尼", "黎", "畲", "布依", "朝鲜", "仡佬", "水", "纳西", "羌", "穿青人"]
TAIWAN = [  # traditional name, spelling
    ("陳怡君", "CHEN,YI-CHUN"), ("林志明", "LIN,CHIH-MING"), ("黃淑芬", "HUANG,SHU-FEN"), ("張家豪", "CHANG,CHIA-HAO"), ("李雅婷", "LI,YA-TING"),
    ("王俊傑", "WANG,CHUN-CHIEH"), ("吳美玲", "WU,MEI-LING"), ("劉建宏", "LIU,CHIEN-HUNG"), ("蔡宗翰", "TSAI,TSUNG-HAN"), ("楊惠雯", "YANG,HUI-WEN"),
    ("許瑋倫", "HSU,WEI-LUN"), ("鄭凱文", "CHENG,KAI-WEN"), ("謝佩珊", "HSIEH,PEI-SHAN"), ("郭冠宇", "KUO,KUAN-YU"), ("洪詩涵", "HUNG,SHIH-HAN"),
    ("曾國城", "TSENG,KUO-CHENG"), ("廖婉如", "LIAO,WAN-JU"), ("賴彥廷", "LAI,YEN-TING"), ("周子瑜", "CHOU,TZU-YU"), ("葉承恩", "YEH,CHENG-EN"),
]
