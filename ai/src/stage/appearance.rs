//! What the picture looks like before a letter is read: our classifier's opinion on the kind of paper, on how it lies, and whether it has seen
//! anything like it. One witness of two; `kind` and `direction` hear the text as well. 2 to 4 ms a page.

use ::image::{Rgb, RgbImage, imageops};
use ndarray::Array4;

use super::geometry::Turn;
use crate::{
    document::DocumentKind,
    engine::{Output, Session},
    error::{Cause, Stage, StageError},
    manifest::{Classifier, Role},
};

/// Papers that look alike, the permits among each other, the two cards and the two deeds: the picture does not tell them apart.
const ALIKE: [&[DocumentKind]; 3] = [
    &[DocumentKind::HkmoPermit, DocumentKind::TaiwanPermit, DocumentKind::TaiwanCompatriot],
    &[DocumentKind::IdFront, DocumentKind::TempId],
    &[DocumentKind::DeedOld, DocumentKind::DeedNew],
];

/// The classifier's opinion.
#[derive(Clone, PartialEq, Debug)]
pub struct Appearance {
    /// Probability of each kind, in the order of [`DocumentKind::EVERY`].
    pub kinds: [f32; 13],
    /// Probability that no turn, a quarter, half and three quarters of a turn set the page upright.
    pub turns: [f32; 4],
    /// Whether the picture is like nothing that the classifier was trained on.
    pub strange: bool,
}

impl Appearance {
    /// The probability of a kind, together with those that look like it.
    pub fn of(&self, kind: DocumentKind) -> f32 {
        let alike = |other: DocumentKind| other == kind || ALIKE.iter().any(|group| group.contains(&kind) && group.contains(&other));
        DocumentKind::EVERY.into_iter().zip(self.kinds).filter(|(other, _)| alike(*other)).map(|(_, share)| share).sum()
    }

    /// The likeliest kind.
    pub fn kind(&self) -> DocumentKind {
        // Those that look alike together, and then the likeliest of them.
        let first = |a: &(DocumentKind, f32), b: &(DocumentKind, f32)| self.of(a.0).total_cmp(&self.of(b.0)).then(a.1.total_cmp(&b.1));
        DocumentKind::EVERY.into_iter().zip(self.kinds).max_by(first).map_or(DocumentKind::Other, |(kind, _)| kind)
    }

    /// The probability that `turn` sets the page upright.
    pub fn needs(&self, turn: Turn) -> f32 {
        self.turns[usize::from(turn.degrees() / 90)]
    }
}

/// Looks at the photograph as it came.
pub fn run(session: &Session<'_>, photo: &RgbImage) -> Result<Appearance, StageError> {
    let classifier = &session.engine.classifier;
    let outputs = session.run_all(Role::Classify, tensor(photo, classifier)).map_err(StageError::at(Stage::Appearance))?;
    judged(&outputs, classifier).map_err(StageError::at(Stage::Appearance))
}

fn judged(outputs: &[Output], classifier: &Classifier) -> Result<Appearance, Cause> {
    fn values<const N: usize>(outputs: &[Output], name: &str) -> Result<[f32; N], Cause> {
        let output = outputs.iter().find(|output| output.name == name).ok_or(Cause::NoModel("a classifier with this output"))?;
        output.values.as_slice().try_into().map_err(|_| Cause::Shape(output.shape.iter().map(|&side| side as i64).collect()))
    }
    let calibration = classifier.calibration;
    let (kinds, energy) = shares::<13>(values(outputs, &classifier.output.kind)?, calibration.type_temperature);
    let (lying, _) = shares::<4>(values(outputs, &classifier.output.rotation)?, calibration.rotation_temperature);
    // What lies turned by so much is set upright by the rest of a whole turn.
    let mut turns = [0.0; 4];
    for (degrees, share) in classifier.rotations_degrees.iter().zip(lying) {
        turns[usize::from((360 - degrees) % 360 / 90)] = share;
    }
    Ok(Appearance { kinds, turns, strange: energy > calibration.ood_threshold })
}

/// The probabilities of logits, and their energy.
fn shares<const N: usize>(logits: [f32; N], temperature: f32) -> ([f32; N], f32) {
    let scaled = logits.map(|logit| logit / temperature);
    let most = scaled.iter().copied().fold(f32::MIN, f32::max);
    let total: f32 = scaled.iter().map(|logit| (logit - most).exp()).sum();
    (scaled.map(|logit| (logit - most).exp() / total), -(most + total.ln()))
}

/// The picture scaled to fit, centred on mid-grey.
fn tensor(photo: &RgbImage, classifier: &Classifier) -> Array4<f32> {
    let input = &classifier.input;
    let size = input.size_pixels;
    let fitted = |to: u32| {
        let scale = to as f32 / photo.width().max(photo.height()) as f32;
        let side = |side: u32| ((side as f32 * scale).round() as u32).clamp(1, to);
        (side(photo.width()), side(photo.height()))
    };
    let (width, height) = fitted(size);
    let small = if photo.width().max(photo.height()) > size * 4 {
        // Twice the size by whole pixels, then finely: as good as all of it finely, and many times faster.
        let (width2, height2) = fitted(size * 2);
        imageops::resize(&imageops::thumbnail(photo, width2, height2), width, height, imageops::FilterType::Triangle)
    } else {
        imageops::resize(photo, width, height, imageops::FilterType::Triangle)
    };
    let mut canvas = RgbImage::from_pixel(size, size, Rgb([input.pad_value; 3]));
    imageops::replace(&mut canvas, &small, i64::from((size - width) / 2), i64::from((size - height) / 2));
    let mut tensor = Array4::zeros((1, 3, size as usize, size as usize));
    for (x, y, pixel) in canvas.enumerate_pixels() {
        for channel in 0..3 {
            tensor[[0, channel, y as usize, x as usize]] = (f32::from(pixel.0[channel]) / 255.0 - input.mean[channel]) / input.std[channel];
        }
    }
    tensor
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// An opinion that is sure of one kind and one turn.
    pub fn sure(kind: DocumentKind, turn: Turn, share: f32) -> Appearance {
        let rest = (1.0 - share) / 12.0;
        let kinds = DocumentKind::EVERY.map(|other| if other == kind { share } else { rest });
        let mut turns = [(1.0 - share) / 3.0; 4];
        turns[usize::from(turn.degrees() / 90)] = share;
        Appearance { kinds, turns, strange: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DocumentKind::{HkmoPermit, IdFront, Passport, TaiwanPermit};

    fn outputs(kind: usize, rotation: usize, height: f32) -> Vec<Output> {
        let one = |count: usize, at: usize| (0..count).map(|i| if i == at { height } else { 0.0 }).collect::<Vec<_>>();
        [("rotation", one(4, rotation)), ("embedding", vec![0.0; 96]), ("type", one(13, kind))]
            .map(|(name, values)| Output { name: name.to_owned(), shape: vec![1, values.len()], values })
            .to_vec()
    }

    #[test]
    fn a_page_that_lies_clockwise_is_turned_the_rest_of_the_way() {
        let (classifier, _) = Classifier::built_in().unwrap();
        for (class, turn) in [(0, Turn::None), (1, Turn::ThreeQuarters), (2, Turn::Half), (3, Turn::Quarter)] {
            let seen = judged(&outputs(6, class, 9.0), &classifier).unwrap();
            assert!(seen.needs(turn) > 0.99 && seen.kind() == Passport && !seen.strange, "{class} {seen:?}");
        }
        assert!(judged(&outputs(6, 0, 0.1), &classifier).unwrap().strange, "no class stands out");
        assert!(judged(&outputs(6, 0, 9.0)[..1], &classifier).is_err(), "an output is missing");
    }

    #[test]
    fn the_permits_are_one_and_the_likeliest_of_them_is_named() {
        let mut seen = testing::sure(IdFront, Turn::None, 0.4);
        seen.kinds = [0.0; 13];
        (seen.kinds[0], seen.kinds[3], seen.kinds[4]) = (0.4, 0.25, 0.35);
        assert_eq!((seen.kind(), seen.of(HkmoPermit)), (TaiwanPermit, 0.6));
    }

    #[test]
    fn the_picture_is_padded_with_grey_and_keeps_its_colours() {
        let (classifier, _) = Classifier::built_in().unwrap();
        let wide = tensor(&RgbImage::from_pixel(2000, 1000, Rgb([255, 0, 0])), &classifier);
        let at = |x: usize, y: usize| [0, 1, 2].map(|channel| wide[[0, channel, y, x]]);
        assert_eq!(at(112, 112), [1.0, -1.0, -1.0]);
        assert!(at(112, 10).iter().all(|value| value.abs() < 0.01));
        assert_eq!((at(0, 112), at(223, 57)[0], at(112, 55)[0].abs() < 0.01), ([1.0, -1.0, -1.0], 1.0, true));
    }
}
