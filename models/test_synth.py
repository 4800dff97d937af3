#!/usr/bin/python3
"""Tests of the renderer: /usr/bin/python3 models/test_synth.py"""
import datetime
import random
import re
import sys
import unittest

sys.dont_write_bytecode = True
from synth import condition, values
from synth.geometry import corners, homography, moved
from synth.look import Look
from synth.papers import DOCUMENTS, draw


def look(seed, family="base"):
    return Look(random.Random(seed), family, long_side=420)


class Numbers(unittest.TestCase):
    def test_check_digits_are_those_of_published_examples(self):
        self.assertEqual(values.id_check_digit("11010519491231002"), "X")  # GB 11643
        self.assertEqual(values.id_check_digit("44052418800101001"), "4")
        number = "L898902C3"  # ICAO Doc 9303 part 4
        self.assertEqual(values.mrz_check_digit(number), "6")
        self.assertEqual(values.mrz_check_digit("740812"), "2")
        self.assertEqual(values.mrz_check_digit("120415"), "9")
        self.assertEqual(values.mrz_check_digit("C88608477"), "2")  # the number of a vendor's specimen permit

    def test_machine_lines_have_their_length_and_their_check_digits(self):
        born, end = datetime.date(1990, 1, 2), datetime.date(2031, 5, 6)
        first, second = values.passport_lines("OUYANG", "XIAOMING", "E12345678", born, "M", end)
        self.assertEqual((len(first), len(second)), (44, 44))
        self.assertEqual(second[9], values.mrz_check_digit(second[:9]))
        self.assertEqual(second[43], values.mrz_check_digit(second[:10] + second[13:20] + second[21:43]))
        line = values.card_line("CS", "C88608477", born, end)
        self.assertTrue(re.fullmatch(r"CSC886084772<310506\d<900102\d<\d", line), line)
        self.assertEqual(len(line), 30)

    def test_credit_codes_hold_both_check_digits(self):
        rng = random.Random(1)
        for _ in range(200):
            code = values.credit_code(rng, "1", "510107")
            self.assertEqual(code[17], values.credit_check_digit(code[:17]))
            self.assertEqual(code[16], values.organisation_check_digit(code[8:16]))
            self.assertTrue(set(code) <= set(values.CREDIT_ALPHABET), code)

    def test_an_id_number_says_the_birth_and_sex_of_its_holder(self):
        for seed in range(100):
            person = values.person(random.Random(seed))
            number = person["id_number"]
            self.assertEqual(number[6:14], f"{person['birth']:%Y%m%d}")
            self.assertEqual(int(number[16]) % 2 == 1, person["sex"] == "男")

    def test_held_out_words_are_not_those_of_training(self):
        words = [str(n) for n in range(40)]
        rng = random.Random(1)
        train, held = ({values.pick(rng, words, flag) for _ in range(500)} for flag in (False, True))
        self.assertFalse(train & held)


class Pages(unittest.TestCase):
    def test_every_layout_of_every_paper_prints_each_field_it_states_inside_the_page(self):
        for doc_type, layouts in DOCUMENTS.items():
            for layout in layouts:
                for seed in range(3):
                    page, _ = draw(look(f"{layout}{seed}"), doc_type, layout)
                    with self.subTest(doc_type=doc_type, layout=layout, seed=seed):
                        self.assertEqual(set(page.fields), set(page.boxes))
                        for name, (left, top, right, bottom) in page.boxes.items():
                            self.assertTrue(-2 <= left < right <= page.image.width * 1.02, (name, left, right, page.image.width))
                            self.assertTrue(-2 <= top < bottom <= page.image.height * 1.02, (name, top, bottom, page.image.height))

    def test_the_same_seed_draws_the_same_picture(self):
        pictures = []
        for _ in range(2):
            one = look("same")
            page, _ = draw(one, "passport")
            pictures.append(condition.take(one.rng, page, "photo", "passport").image.tobytes())
        self.assertEqual(*pictures)


class Shots(unittest.TestCase):
    def test_a_turned_page_has_its_top_left_corner_where_turning_took_it(self):
        page, _ = draw(look("turn"), "id_front", "standard")
        wide, high = page.image.size
        for degrees, corner in ((90, (high, 0)), (180, (wide, high)), (270, (0, wide))):
            shot = condition.take(random.Random(1), page, f"rotated{degrees}")
            self.assertEqual(shot.quad[0], corner)
            self.assertEqual(shot.rotation, degrees)

    def test_the_corners_of_the_page_go_where_the_quad_says(self):
        for seed, name in enumerate(condition.CONDITIONS + ("cut",) * 6):  # cut on each of the four sides at least once
            page, _ = draw(look(name), "household_head", "plain")
            shot = condition.take(random.Random(seed), page, name, "household_head")
            for (x, y), (u, v) in zip(moved(shot.to_image, corners((0, 0, *page.image.size))), shot.quad):
                self.assertAlmostEqual(x, u, delta=0.01)
                self.assertAlmostEqual(y, v, delta=0.01)

    def test_a_cut_picture_ends_inside_the_page(self):
        page, _ = draw(look("cut"), "business_licence", "landscape")
        shot = condition.take(random.Random(2), page, "cut")
        wide, high = shot.image.size
        self.assertTrue(any(x < 0 or y < 0 or x > wide or y > high for x, y in shot.quad))
        self.assertEqual((shot.quality, shot.authenticity), (["cut"], ["out_of_frame"]))

    def test_a_homography_takes_its_four_points_there_and_back(self):
        source, target = corners((0, 0, 10, 20)), [(1, 2), (30, 4), (28, 50), (3, 44)]
        for point, (x, y) in zip(target, moved(homography(source, target), source)):
            self.assertAlmostEqual(x, point[0])
            self.assertAlmostEqual(y, point[1])


if __name__ == "__main__":
    unittest.main()
